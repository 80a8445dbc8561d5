import type { ByteString } from '../protocol/filesystem.ts'
import type { DirectoryEntry, FileEntry, SymlinkEntry, TreeEntry } from '../store/objects.ts'
import type { Store } from '../store/store.ts'
import type { TreeChange } from './changes-between.ts'
import { isGitsOwn } from './git-path.ts'
import { below, type Place } from './moved.ts'
import { modeOf } from './patch-mode.ts'

type Patchable = FileEntry | SymlinkEntry

/** What a patch says of one file. Of the two paths at most one differs from `path`: a file that moved. */
export interface Section {
  readonly path: ByteString
  readonly from: ByteString
  readonly before: Patchable | null
  readonly after: Patchable | null
  /** Percent. */
  readonly similarity: number
}

/**
 * The changes of files and links, one by one: a directory that moved is each of its files, and what became another kind
 * of thing goes and comes. What goes is first, so that a program that follows the patch finds room for what comes.
 */
export function* sections(store: Store, changes: readonly TreeChange[]): Generator<Section> {
  for (const change of changes) if (change.kind === 'deleted' || change.kind === 'type') yield* gone(change)
  for (const change of changes) if (change.kind !== 'deleted') yield* come(store, change)
}

function* gone({
  path,
  before,
}: Pick<Extract<TreeChange, { before: TreeEntry }>, 'path' | 'before'>): Generator<Section> {
  if (isPatchable(before) && !isGitsOwn(path)) yield { path, from: path, before, after: null, similarity: 100 }
}

function* come(store: Store, change: Exclude<TreeChange, { kind: 'deleted' }>): Generator<Section> {
  const { path, kind, after } = change
  if (kind === 'renamed') return yield* moved(store, change)
  if (!isPatchable(after) || isGitsOwn(path)) return
  const before = kind === 'modified' || kind === 'mode' ? change.before : null
  if (kind === 'mode' && (!isPatchable(change.before) || modeOf(change.before) === modeOf(after))) return
  yield { path, from: path, before: before !== null && isPatchable(before) ? before : null, after, similarity: 100 }
}

function* moved(store: Store, change: Extract<TreeChange, { kind: 'renamed' }>): Generator<Section> {
  const waiting: { from: Place; to: Place }[] = [
    { from: { path: change.from, entry: change.before }, to: { path: change.path, entry: change.after } },
  ]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { from, to } = next
    if (isGitsOwn(from.path) || isGitsOwn(to.path)) continue
    if (isDirectory(from) && isDirectory(to)) {
      const [before, after] = [below(store, from), below(store, to)]
      // The two are the same tree.
      for (let at = after.length - 1; at >= 0; at--) waiting.push({ from: before[at] as Place, to: after[at] as Place })
    } else if (isPatchable(from.entry) && isPatchable(to.entry)) {
      const { similarity } = change
      yield { path: to.path, from: from.path, before: from.entry, after: to.entry, similarity }
    }
  }
}

function isPatchable(entry: TreeEntry): entry is Patchable {
  return entry.kind !== 'directory'
}

function isDirectory(place: Place): place is Place<DirectoryEntry> {
  return place.entry.kind === 'directory'
}
