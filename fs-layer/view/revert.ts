import { setImmediate } from 'node:timers/promises'
import { IN_BASE, type Inode } from '../delta/inode.ts'
import { isSame, pairs } from '../diff/walk.ts'
import type { ByteString } from '../protocol/filesystem.ts'
import { lookup } from '../store/lookup.ts'
import type { DirectoryEntry, Hash, TreeEntry } from '../store/objects.ts'
import { joinPath } from '../store/paths.ts'
import { StoreError } from '../store/store-error.ts'
import { isNoVersions, Reverter, type ReverterParts } from './reverter.ts'

export interface RevertOptions {
  /** What the view is now, as it was folded. */
  readonly from: Hash
  /** What it is to be. */
  readonly to: Hash
  /** These and what is below them. Absent: all. */
  readonly paths?: readonly ByteString[] | undefined
  /** Only bring back what was moved away; it has to be folded anew then. */
  readonly movesOnly: boolean
}

/** `kept`: what was to go or come, and could not without losing what is not the sandbox's, or was not expected there. */
export interface Reverted {
  readonly path: ByteString
  readonly what: 'moved' | 'removed' | 'restored' | 'kept'
}

/** Paths done between two turns of others. */
const PATHS_PER_TURN = 64

/**
 * Makes a view what another version is, while programs use it. The cost goes with what is different. Whatever the rules
 * hide stays; what programs change meanwhile stays too, or is undone with the rest.
 */
export async function* revert(parts: ReverterParts, options: RevertOptions): AsyncGenerator<Reverted[]> {
  const run = new Run(parts, options)
  let done: Reverted[] = []
  let steps = 0
  for await (const reverted of options.movesOnly ? run.moves() : run.all()) {
    if (reverted !== null) done.push(reverted)
    if (++steps % PATHS_PER_TURN !== 0) continue
    yield done
    done = []
  }
  await parts.notifier?.flush()
  yield done
}

interface Level {
  readonly path: ByteString
  readonly from: Hash | null
  readonly to: Hash | null
}

/** Null: only a turn for others. */
type Steps = AsyncGenerator<Reverted | null>

class Run {
  readonly #parts: ReverterParts
  readonly #options: RevertOptions
  readonly #reverter: Reverter
  readonly #top: Level

  constructor(parts: ReverterParts, options: RevertOptions) {
    this.#parts = parts
    this.#options = options
    this.#reverter = new Reverter(parts)
    this.#top = { path: '', from: this.#root(options.from).tree, to: this.#root(options.to).tree }
  }

  async *moves(): Steps {
    for (const { path, before, after } of this.#differences()) {
      if (before !== null || after === null || !this.#isWanted(path)) continue
      const spot = this.#reverter.spot(path)
      if (spot === null || this.#reverter.at(spot) !== null) continue
      const stays = (other: ByteString) => !this.#isWanted(other) || this.#isInTarget(other)
      if (this.#reverter.moveBack(spot, after, stays)) yield { path, what: 'moved' }
    }
  }

  async *all(): Steps {
    yield* this.#letGo()
    yield* this.#removals()
    yield* this.#restored()
  }

  /**
   * The kernel drops what it keeps of files that nobody uses, so that they can be the base's again. Two rounds of the
   * loop later it has said so, or it does use them.
   */
  async *#letGo(): Steps {
    const { notifier } = this.#parts
    if (notifier === null) return
    for (const { path, before, after } of this.#differences()) {
      if (before === null || after === null || before.kind === 'directory' || !this.#isWanted(path)) continue
      const spot = this.#reverter.spot(path)
      if (spot !== null) notifier.entryChanged(spot.directory.node, spot.name)
      yield null
    }
    await notifier.flush()
    await setImmediate()
    await setImmediate()
  }

  async *#removals(): Steps {
    const gone: ByteString[] = []
    for (const { path, before, after } of this.#differences()) {
      if (before === null || !this.#isWanted(path)) continue
      const isReplaced = after !== null && (after.kind === 'directory') === (before.kind === 'directory')
      if (!isReplaced) gone.push(path)
    }
    // A directory comes before what is in it.
    for (const path of gone.reverse()) {
      const spot = this.#reverter.spot(path)
      if (spot === null || !this.#reverter.isSeen(spot) || this.#reverter.at(spot) === null) continue
      yield { path, what: this.#reverter.remove(spot) ? 'removed' : 'kept' }
    }
  }

  /** What is missing or other, from the top down, and last the attributes of directories, from the bottom up. */
  async *#restored(): Steps {
    const visited: { path: ByteString; entry: Pick<TreeEntry, 'mode' | 'mtime' | 'mtimeNsec'> }[] = []
    if (this.#isWanted('')) visited.push({ path: '', entry: this.#root(this.#options.to) })
    const levels = [this.#top]
    for (let level = levels.pop(); level !== undefined; level = levels.pop()) {
      for (const [before, after] of pairs(this.#entries(level.from), this.#entries(level.to))) {
        if (after === null) continue
        const path = joinPath(level.path, after.name)
        if (after.kind !== 'directory') {
          yield* this.#file(path, before, after)
          continue
        }
        if (!this.#isWanted(path) && !this.#isAbove(path)) continue
        const same = before?.kind === 'directory' && before.hash === after.hash
        if (same && hasAttributes(before, after)) continue
        const from = same ? after.hash : yield* this.#directory(path, before)
        if (from === undefined) continue
        if (this.#isWanted(path) || before === null) visited.push({ path, entry: after })
        if (from !== after.hash) levels.push({ path, from, to: after.hash })
      }
    }
    for (const { path, entry } of visited.reverse()) {
      const directory = this.#reverter.directory(path)
      const spot = path === '' ? null : this.#reverter.spot(path)
      if (directory === null || (spot !== null && !this.#reverter.isSeen(spot))) continue
      this.#reverter.setAttributes(directory, entry)
      yield null
    }
  }

  /** What is in it now, as far as that is known; undefined where it cannot be. */
  async *#directory(
    path: ByteString,
    before: TreeEntry | null,
  ): AsyncGenerator<Reverted | null, Hash | null | undefined> {
    const spot = this.#reverter.spot(path)
    if (spot === null) return undefined
    const there = this.#reverter.at(spot)
    if (there?.isDirectory) return before?.kind === 'directory' ? before.hash : null
    if (!this.#reverter.isSeen(spot)) return undefined
    if (there !== null && !isNoVersions(there)) {
      yield { path, what: 'kept' }
      return undefined
    }
    if (there !== null) this.#reverter.remove(spot)
    const made = this.#reverter.makeDirectory(spot, this.#isWanted(path))
    yield { path, what: 'restored' }
    // One that comes back with what was taken from it is looked at name by name.
    const isAsInBase = this.#parts.overlay.delta.directories.get(made.node) === undefined
    return made.entry?.kind === 'directory' && isAsInBase ? made.entry.hash : null
  }

  async *#file(path: ByteString, before: TreeEntry | null, after: Exclude<TreeEntry, DirectoryEntry>): Steps {
    if (!this.#isWanted(path)) return
    const same = before !== null && isSame(before, after)
    if (same && hasAttributes(before, after)) return
    const spot = this.#reverter.spot(path)
    if (spot === null || !this.#reverter.isSeen(spot)) return
    const there = this.#reverter.at(spot)
    if (there !== null && (same || isOfBase(there, after)) && hasTime(there, after)) {
      this.#reverter.setAttributes(there, after)
      if (before === null || before.mode !== after.mode) yield { path, what: 'restored' }
      return
    }
    const putting = this.#reverter.put(path, after)
    let put = await putting.next()
    for (; put.done !== true; put = await putting.next()) yield null
    yield { path, what: put.value ? 'restored' : 'kept' }
  }

  /** A directory that is in one only is told with all that is in it. */
  *#differences(): Generator<{ path: ByteString; before: TreeEntry | null; after: TreeEntry | null }> {
    const levels = [this.#top]
    for (let level = levels.pop(); level !== undefined; level = levels.pop()) {
      for (const [before, after] of pairs(this.#entries(level.from), this.#entries(level.to))) {
        const path = joinPath(level.path, (before ?? after)?.name ?? '')
        if (!this.#isWanted(path) && !this.#isAbove(path)) continue
        const [from, to] = [treeOf(before), treeOf(after)]
        if (before === null || after === null || !isSame(before, after) || !hasAttributes(before, after)) {
          yield { path, before, after }
        }
        if (from !== to) levels.push({ path, from, to })
      }
    }
  }

  #entries(tree: Hash | null): readonly TreeEntry[] {
    return tree === null ? [] : this.#parts.store.treeSync(tree).entries
  }

  #root(hash: Hash) {
    return this.#parts.store.rootSync(hash)
  }

  #isInTarget(path: ByteString): boolean {
    try {
      lookup(this.#parts.store, this.#options.to, path)
      return true
    } catch (error) {
      if (error instanceof StoreError && ['not-found', 'not-a-directory'].includes(error.code)) return false
      throw error
    }
  }

  #isWanted(path: ByteString): boolean {
    return this.#options.paths?.some((each) => each === '' || path === each || path.startsWith(`${each}/`)) ?? true
  }

  #isAbove(path: ByteString): boolean {
    return this.#options.paths?.some((each) => each.startsWith(`${path}/`)) ?? true
  }
}

function treeOf(entry: TreeEntry | null): Hash | null {
  return entry?.kind === 'directory' ? entry.hash : null
}

type Attributes = Pick<TreeEntry, 'mode' | 'mtime' | 'mtimeNsec'>

function hasAttributes(one: Attributes, other: Attributes): boolean {
  return one.mode === other.mode && hasTime(one, other)
}

function hasTime(one: Omit<Attributes, 'mode'>, other: Omit<Attributes, 'mode'>): boolean {
  return one.mtime === other.mtime && one.mtimeNsec === other.mtimeNsec
}

/** Its contents are the base's, and those that are wanted. */
function isOfBase(inode: Inode, wanted: TreeEntry): boolean {
  return inode.place === IN_BASE && inode.entry !== null && isSame(inode.entry, wanted)
}
