import type { ByteString } from '../protocol/filesystem.ts'
import type { DirectoryEntry, TreeEntry } from '../store/objects.ts'
import { joinPath } from '../store/paths.ts'
import type { Store } from '../store/store.ts'
import { SIMILAR_BYTES_MAX, SIMILAR_PAIRS_MAX, SIMILARITY_MIN, TEXT_MAX_BYTES } from './limits.ts'
import { Pool } from './pool.ts'
import { type Fingerprint, fingerprintOf, similarity } from './similarity.ts'

/** What is on one side only. */
export interface Place<Entry extends TreeEntry = TreeEntry> {
  readonly path: ByteString
  readonly entry: Entry
}

export interface Move {
  readonly from: Place
  readonly to: Place
  /** Percent; 100: the same. */
  readonly similarity: number
}

export interface Moved {
  readonly moves: readonly Move[]
  readonly gone: readonly Place[]
  readonly come: readonly Place[]
}

type Expand = (place: Place<DirectoryEntry>) => readonly Place[]

/**
 * Directories that went from one place and came to another as they were. The others are told with all that is in them.
 * The larger first: one that is in another is smaller than that, so all places of a tree are known when its turn comes.
 */
export function movedDirectories(gone: readonly Place[], come: readonly Place[], expand: Expand): Moved {
  const sides = { gone: new Side(gone), come: new Side(come) }
  const moves: Move[] = []
  for (;;) {
    const size = Math.max(sides.gone.largest, sides.come.largest)
    if (size < 0) break
    const pool = new Pool<Place<DirectoryEntry>>()
    for (const place of sides.come.take(size)) pool.add(place.entry.hash, place.entry.name, place)
    for (const place of sides.gone.take(size)) {
      // All empty ones are the same.
      const to = size > 1 ? pool.take(place.entry.hash, place.entry.name) : undefined
      if (to === undefined) sides.gone.add(place, expand(place))
      else moves.push({ from: place, to, similarity: 100 })
    }
    for (const place of pool.rest()) sides.come.add(place, expand(place))
  }
  return { moves, gone: sides.gone.done, come: sides.come.done }
}

/** The same of files and links: those that are equal, and then texts of which half is. */
export async function movedFiles(store: Store, gone: readonly Place[], come: readonly Place[]): Promise<Moved> {
  const moves: Move[] = []
  const pool = new Pool<Place>()
  const others: Place[] = []
  for (const place of gone) {
    const contents = contentsOf(place.entry)
    if (contents === null) others.push(place)
    else pool.add(contents, place.entry.name, place)
  }
  const unmatched: Place[] = []
  for (const to of come) {
    const contents = contentsOf(to.entry)
    const from = contents === null ? undefined : pool.take(contents, to.entry.name)
    if (from === undefined) unmatched.push(to)
    else moves.push({ from, to, similarity: 100 })
  }
  const similar = await similarFiles(store, [...others, ...pool.rest()], unmatched)
  return { moves: [...moves, ...similar.moves], gone: similar.gone, come: similar.come }
}

async function similarFiles(store: Store, gone: readonly Place[], come: readonly Place[]): Promise<Moved> {
  const [from, to] = [gone.filter(isComparable), come.filter(isComparable)]
  const bytes = [...from, ...to].reduce((sum, { entry }) => sum + entry.size, 0)
  if (from.length * to.length > SIMILAR_PAIRS_MAX || from.length * to.length === 0 || bytes > SIMILAR_BYTES_MAX) {
    return { moves: [], gone, come }
  }
  const scored: Move[] = []
  const before = await fingerprints(store, from)
  for (const { place, ...text } of await fingerprints(store, to)) {
    for (const { place: other, ...old } of before) {
      if (Math.min(text.size, old.size) * 100 < Math.max(text.size, old.size) * SIMILARITY_MIN) continue
      const score = similarity(text, old)
      if (score >= SIMILARITY_MIN) scored.push({ from: other, to: place, similarity: score })
    }
  }
  scored.sort(
    (a, b) => b.similarity - a.similarity || compare(a.to.path, b.to.path) || compare(a.from.path, b.from.path),
  )
  const taken = new Set<Place>()
  const moves = scored.filter((move) => {
    if (taken.has(move.from) || taken.has(move.to)) return false
    taken.add(move.from).add(move.to)
    return true
  })
  return { moves, gone: gone.filter((place) => !taken.has(place)), come: come.filter((place) => !taken.has(place)) }
}

async function fingerprints(store: Store, places: readonly Place<TreeEntry & { kind: 'file' }>[]) {
  const all: { place: Place; size: number; fingerprint: Fingerprint }[] = []
  for (const place of places) {
    const chunks: Buffer[] = []
    for await (const chunk of store.readFile(place.entry.hash)) chunks.push(chunk)
    all.push({ place, size: place.entry.size, fingerprint: fingerprintOf(Buffer.concat(chunks)) })
  }
  return all
}

function isComparable(place: Place): place is Place<TreeEntry & { kind: 'file' }> {
  return place.entry.kind === 'file' && place.entry.size > 0 && place.entry.size <= TEXT_MAX_BYTES
}

/** Null: nothing that one would know again. */
function contentsOf(entry: TreeEntry): string | null {
  if (entry.kind === 'symlink') return `to ${entry.target}`
  return entry.kind === 'file' && entry.size > 0 ? entry.hash : null
}

function compare(one: ByteString, other: ByteString): number {
  return one < other ? -1 : one > other ? 1 : 0
}

/** Directories that wait for their turn, by size, and what has had it. */
class Side {
  readonly done: Place[] = []
  readonly #waiting = new Map<number, Place<DirectoryEntry>[]>()

  constructor(places: readonly Place[]) {
    for (const place of places) this.#note(place)
  }

  get largest(): number {
    let largest = -1
    for (const size of this.#waiting.keys()) if (size > largest) largest = size
    return largest
  }

  take(size: number): Place<DirectoryEntry>[] {
    const places = this.#waiting.get(size) ?? []
    this.#waiting.delete(size)
    return places
  }

  add(directory: Place, below: readonly Place[]): void {
    this.done.push(directory)
    for (const place of below) this.#note(place)
  }

  #note({ path, entry }: Place): void {
    if (entry.kind !== 'directory') {
      this.done.push({ path, entry })
      return
    }
    const there = this.#waiting.get(entry.inodes)
    if (there === undefined) this.#waiting.set(entry.inodes, [{ path, entry }])
    else there.push({ path, entry })
  }
}

/** What is in a directory, of which nothing more is known. */
export function below(store: Pick<Store, 'treeSync'>, { path, entry }: Place<DirectoryEntry>): Place[] {
  return store.treeSync(entry.hash).entries.map((child) => ({ path: joinPath(path, child.name), entry: child }))
}
