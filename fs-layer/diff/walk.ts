import type { ByteString } from '../protocol/filesystem.ts'
import type { Hash, TreeEntry } from '../store/objects.ts'
import { joinPath } from '../store/paths.ts'
import type { StoreReader } from '../store/reader.ts'

/** What stands at a path before and after, where it is not the same; times alone are no difference. */
export interface Difference {
  readonly path: ByteString
  readonly before: TreeEntry | null
  readonly after: TreeEntry | null
}

/**
 * The differences of two trees; what they share is not looked at. A directory that is in one only is told without what
 * is in it. Two that differ are told where their modes do.
 */
export function* walkDifferences(store: StoreReader, from: Hash, to: Hash): Generator<Difference> {
  // A stack of our own: a generator in a generator for each level would make deep trees quadratic.
  const levels = [{ path: '', from, to }]
  for (let level = levels.pop(); level !== undefined; level = levels.pop()) {
    if (level.from === level.to) continue
    for (const [before, after] of pairs(store.treeSync(level.from).entries, store.treeSync(level.to).entries)) {
      const path = joinPath(level.path, (before ?? after)?.name ?? '')
      if (before?.kind === 'directory' && after?.kind === 'directory') {
        levels.push({ path, from: before.hash, to: after.hash })
        if (before.mode !== after.mode) yield { path, before, after }
      } else if (before === null || after === null || before.mode !== after.mode || !isSame(before, after)) {
        yield { path, before, after }
      }
    }
  }
}

/** The same contents, whatever they are called. */
export function isSame(one: TreeEntry, other: TreeEntry): boolean {
  if (one.kind === 'symlink') return other.kind === 'symlink' && one.target === other.target
  return one.kind === other.kind && one.hash === other.hash
}

/** By name; both are sorted. */
export function* pairs(
  before: readonly TreeEntry[],
  after: readonly TreeEntry[],
): Generator<[TreeEntry | null, TreeEntry | null]> {
  let [at, other] = [0, 0]
  for (;;) {
    const [one, two] = [before[at], after[other]]
    if (one === undefined && two === undefined) return
    if (two === undefined || (one !== undefined && one.name < two.name)) {
      yield [one ?? null, null]
      at++
    } else if (one === undefined || two.name < one.name) {
      yield [null, two]
      other++
    } else {
      yield [one, two]
      at++
      other++
    }
  }
}
