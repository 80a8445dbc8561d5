import { setImmediate } from 'node:timers/promises'
import type { ByteString } from '../protocol/filesystem.ts'
import type { DirectoryEntry, Hash, TreeEntry } from '../store/objects.ts'
import type { Store } from '../store/store.ts'
import { StoreError } from '../store/store-error.ts'
import { DIFFERENCES_MAX } from './limits.ts'
import { below, type Move, movedDirectories, movedFiles, type Place } from './moved.ts'
import { isSame, walkDifferences } from './walk.ts'

/** One difference between two versions. */
export type TreeChange =
  | { readonly kind: 'created'; readonly path: ByteString; readonly after: TreeEntry }
  | { readonly kind: 'deleted'; readonly path: ByteString; readonly before: TreeEntry }
  /** Contents; `mode`: permission bits alone; `type`: another kind of thing. */
  | {
      readonly kind: 'modified' | 'mode' | 'type'
      readonly path: ByteString
      readonly before: TreeEntry
      readonly after: TreeEntry
    }
  | {
      readonly kind: 'renamed'
      readonly path: ByteString
      readonly from: ByteString
      readonly before: TreeEntry
      readonly after: TreeEntry
      /** Percent. */
      readonly similarity: number
    }

export interface DiffOptions {
  /** What is not, is on neither side. Absent: all is. */
  readonly isSeen?: ((path: ByteString) => boolean) | undefined
  /** Of what is seen: whether its contents may be told, and compared with others'. Absent: all may. */
  readonly isRead?: ((path: ByteString) => boolean) | undefined
  /** Default true. False: what moved is deleted and created, each file by itself. */
  readonly moves?: boolean
  readonly signal?: AbortSignal | undefined
}

/**
 * What became of one version to make another, by path. The cost goes with the differences. Of a directory that moved as
 * it was only the directory is told; with `isSeen`, each file of it.
 *
 * @throws {StoreError} `limit`: more differences than `DIFFERENCES_MAX`
 */
export async function changesBetween(
  store: Store,
  from: Hash,
  to: Hash,
  options: DiffOptions = {},
): Promise<TreeChange[]> {
  const sides = new Sides(store, options)
  const [before, after] = [store.rootSync(from).tree, store.rootSync(to).tree]
  let turns = 0
  for (const difference of walkDifferences(store, before, after)) {
    if (++turns % DIFFERENCES_PER_TURN === 0) await setImmediate()
    options.signal?.throwIfAborted()
    sides.add(difference.path, difference.before, difference.after)
  }
  return (await sides.changes()).sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
}

const DIFFERENCES_PER_TURN = 1000

class Sides {
  readonly #store: Store
  readonly #options: DiffOptions
  readonly #changes: TreeChange[] = []
  readonly #gone: Place[] = []
  readonly #come: Place[] = []
  #count = 0

  constructor(store: Store, options: DiffOptions) {
    this.#store = store
    this.#options = options
  }

  add(path: ByteString, before: TreeEntry | null, after: TreeEntry | null): void {
    if (before !== null && after !== null) return this.#addBoth(path, before, after)
    if (before !== null) this.#addPlace(this.#gone, { path, entry: before })
    if (after !== null) this.#addPlace(this.#come, { path, entry: after })
  }

  async changes(): Promise<TreeChange[]> {
    if (this.#options.moves === false) return [...this.#changes, ...this.#gone.map(deleted), ...this.#come.map(created)]
    const { isSeen } = this.#options
    const expand = (place: Place<DirectoryEntry>) => this.#below(place)
    const { moves, gone, come } =
      isSeen === undefined
        ? movedDirectories(this.#gone, this.#come, expand)
        : { moves: [], gone: this.#gone, come: this.#come }
    const mayMove = (place: Place) => this.#mayMove(place)
    const files = await movedFiles(this.#store, gone.filter(mayMove), come.filter(mayMove))
    const stays = (place: Place) => !this.#mayMove(place)
    return [
      ...this.#changes,
      ...[...moves, ...files.moves].map(renamed),
      ...[...files.gone, ...gone.filter(stays)].map(deleted),
      ...[...files.come, ...come.filter(stays)].map(created),
    ]
  }

  #addBoth(path: ByteString, before: TreeEntry, after: TreeEntry): void {
    if (this.#isSeen(path)) {
      this.#note()
      const same = before.kind === 'directory' || isSame(before, after)
      const kind = before.kind !== after.kind ? 'type' : same ? 'mode' : 'modified'
      this.#changes.push({ kind, path, before, after })
    }
    if (before.kind === after.kind) return
    if (before.kind === 'directory') {
      for (const place of this.#below({ path, entry: before })) this.#addPlace(this.#gone, place)
    }
    if (after.kind === 'directory') {
      for (const place of this.#below({ path, entry: after })) this.#addPlace(this.#come, place)
    }
  }

  /** A directory goes in as a whole where all of it is seen, else with what is. */
  #addPlace(side: Place[], place: Place): void {
    if (this.#options.isSeen === undefined && this.#options.moves !== false) {
      this.#note()
      side.push(place)
      return
    }
    const waiting = [place]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { path, entry } = next
      if (this.#isSeen(path)) side.push(next)
      if (entry.kind === 'directory') waiting.push(...this.#below({ path, entry }))
    }
  }

  #below(place: Place<DirectoryEntry>): Place[] {
    const places = below(this.#store, place)
    this.#note(places.length)
    return places
  }

  #note(more = 1): void {
    this.#count += more
    if (this.#count > DIFFERENCES_MAX) throw new StoreError('limit', `More than ${DIFFERENCES_MAX} differences`)
  }

  #isSeen(path: ByteString): boolean {
    return this.#options.isSeen?.(path) ?? true
  }

  #mayMove({ path, entry }: Place): boolean {
    return entry.kind !== 'directory' && (this.#options.isRead?.(path) ?? true)
  }
}

function renamed({ from, to, similarity }: Move): TreeChange {
  const { path, entry: after } = to
  return { kind: 'renamed', path, from: from.path, before: from.entry, after, similarity }
}

function deleted({ path, entry: before }: Place): TreeChange {
  return { kind: 'deleted', path, before }
}

function created({ path, entry: after }: Place): TreeChange {
  return { kind: 'created', path, after }
}
