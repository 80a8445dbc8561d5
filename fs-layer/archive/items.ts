import type { PathState } from '../policy/path-state.ts'
import type { Policy } from '../policy/policy.ts'
import { READ, VIEW } from '../policy/rule.ts'
import type { ByteString } from '../protocol/filesystem.ts'
import type { DirectoryEntry, Hash, TreeEntry } from '../store/objects.ts'
import { joinPath } from '../store/paths.ts'
import type { StoreReader } from '../store/reader.ts'
import { StoreError } from '../store/store-error.ts'

/** What an archive has at a path. The root is a directory with the empty path. */
export interface ArchiveItem {
  readonly path: ByteString
  readonly entry: TreeEntry
}

export interface Selection {
  /** What it hides is in no archive, and of what can only be looked at there are no contents. Absent: all is in it. */
  readonly policy?: Policy | undefined
}

/** Markers of an OCI image layer (image-spec, layer.md): of a deleted name, and of all names below in a directory. */
export const WHITEOUT_PREFIX = '.wh.'
export const OPAQUE_NAME = '.wh..wh..opq'

/** All of a version: each directory before what is in it, names in the order of their bytes. */
export function* versionItems(store: StoreReader, root: Hash, { policy }: Selection = {}): Generator<ArchiveItem> {
  const entry = rootEntry(store, root)
  yield { path: '', entry }
  yield* below(store, { path: '', entry, state: policy?.root }, policy)
}

/**
 * What makes one version of another, in the form of an image layer: what was added or is different, times included, and
 * whiteouts for what is gone. Nothing of what both share is looked at.
 *
 * @throws {StoreError} `invalid`: a file is called as a whiteout is, so that no layer can have it
 */
export function* layerItems(
  store: StoreReader,
  from: Hash,
  to: Hash,
  { policy }: Selection = {},
): Generator<ArchiveItem> {
  const [before, after] = [rootEntry(store, from), rootEntry(store, to)]
  if (!sameAttributes(before, after)) yield { path: '', entry: after }
  // Of a pair of directories; a stack of our own, for a generator within a generator would make deep trees quadratic.
  const levels: Level[] = [{ path: '', state: policy?.root, steps: steps(store, before, after) }]
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const next = level.steps.next()
    if (next.done === true) {
      levels.pop()
      continue
    }
    const step = next.value
    if (step === 'opaque') {
      // To somebody who sees less than all, it would be a deletion of what he does not see.
      if (policy === undefined) yield whiteout(joinPath(level.path, OPAQUE_NAME))
      continue
    }
    const name = (step.before ?? step.after)?.name ?? ''
    const path = joinPath(level.path, name)
    const state = policy && level.state && policy.step(level.state, name)
    if (step.before?.kind === 'directory' && step.after?.kind === 'directory') {
      if (!sameAttributes(step.before, step.after) && isSeen(step.after, state)) yield item(path, step.after)
      if (step.before.hash === step.after.hash) continue
      levels.push({ path, state, steps: steps(store, step.before, step.after) })
    } else if (step.after === null) {
      if (step.hidden && policy === undefined) continue
      if (step.before !== null && hasSeen(store, { path, entry: step.before, state }, policy)) {
        yield whiteout(joinPath(level.path, WHITEOUT_PREFIX + name))
      }
    } else if (step.before === null || !isSameEntry(step.before, step.after)) {
      yield* checked(whole(store, { path, entry: step.after, state }, policy))
    }
  }
}

/** As they are, where none of them is called as a whiteout is. */
export function* checked(items: Iterable<ArchiveItem>): Generator<ArchiveItem> {
  for (const each of items) yield item(each.path, each.entry)
}

interface Place {
  readonly path: ByteString
  readonly entry: TreeEntry
  readonly state: PathState | undefined
}

interface Level {
  readonly path: ByteString
  readonly state: PathState | undefined
  readonly steps: Iterator<Step>
}

type Step =
  | 'opaque'
  | {
      readonly before: TreeEntry | null
      readonly after: TreeEntry | null
      /** An opaque marker has said it. */
      readonly hidden?: boolean
    }

function* steps(store: StoreReader, before: DirectoryEntry, after: DirectoryEntry): Generator<Step> {
  const [old, now] = [store.treeSync(before.hash).entries, store.treeSync(after.hash).entries]
  const names = new Set(now.map(({ name }) => name))
  const isOpaque = old.length > 1 && old.every(({ name }) => !names.has(name))
  if (isOpaque) yield 'opaque'
  let at = 0
  for (const entry of now) {
    for (let gone = old[at]; gone !== undefined && gone.name < entry.name; gone = old[++at]) {
      yield { before: gone, after: null, hidden: isOpaque }
    }
    const same = old[at]?.name === entry.name ? (old[at++] ?? null) : null
    yield { before: same, after: entry }
  }
  for (; at < old.length; at++) yield { before: old[at] ?? null, after: null, hidden: isOpaque }
}

function* whole(store: StoreReader, place: Place, policy: Policy | undefined): Generator<ArchiveItem> {
  const { path, entry, state } = place
  const seen = isSeen(entry, state)
  if (seen) yield { path, entry }
  if (entry.kind === 'directory') yield* below(store, { path, entry, state }, policy, !seen)
}

/** What is in a directory. One that is hidden comes all the same, and only, where something in it does not hide. */
function* below(
  store: StoreReader,
  top: Place & { entry: DirectoryEntry },
  policy: Policy | undefined,
  isUntold = false,
): Generator<ArchiveItem> {
  const levels = [{ ...top, entries: store.treeSync(top.entry.hash).entries, next: 0, isUntold }]
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const entry = level.entries[level.next++]
    if (entry === undefined) {
      levels.pop()
      continue
    }
    const path = joinPath(level.path, entry.name)
    const state = policy && level.state && policy.step(level.state, entry.name)
    const seen = isSeen(entry, state)
    if (seen) {
      for (const parent of levels) {
        if (parent.isUntold) yield { path: parent.path, entry: parent.entry }
        parent.isUntold = false
      }
      yield { path, entry }
    }
    if (entry.kind === 'directory')
      levels.push({ path, entry, state, entries: store.treeSync(entry.hash).entries, next: 0, isUntold: !seen })
  }
}

function hasSeen(store: StoreReader, place: Place, policy: Policy | undefined): boolean {
  for (const _ of whole(store, place, policy)) return true
  return false
}

function isSeen(entry: TreeEntry, state: PathState | undefined): boolean {
  return state === undefined || state.level >= (entry.kind === 'directory' ? VIEW : READ)
}

function item(path: ByteString, entry: TreeEntry): ArchiveItem {
  if (path.slice(path.lastIndexOf('/') + 1).startsWith(WHITEOUT_PREFIX)) {
    throw new StoreError('invalid', 'A name that begins as a whiteout does cannot be in an image layer', { path })
  }
  return { path, entry }
}

function whiteout(path: ByteString): ArchiveItem {
  const name = path.slice(path.lastIndexOf('/') + 1)
  return { path, entry: { kind: 'file', name, mode: 0o644, mtime: 0, mtimeNsec: 0, size: 0, hash: EMPTY_HASH } }
}

/** SHA-256 of nothing. */
const EMPTY_HASH = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

function isSameEntry(one: TreeEntry, other: TreeEntry): boolean {
  if (!sameAttributes(one, other)) return false
  if (one.kind === 'symlink') return other.kind === 'symlink' && one.target === other.target
  return one.kind === other.kind && one.hash === other.hash
}

function sameAttributes(one: Attributes, other: Attributes): boolean {
  return one.mode === other.mode && one.mtime === other.mtime && one.mtimeNsec === other.mtimeNsec
}

type Attributes = Pick<TreeEntry, 'mode' | 'mtime' | 'mtimeNsec'>

function rootEntry(store: StoreReader, root: Hash): DirectoryEntry {
  const { mode, mtime, mtimeNsec, tree, inodes, bytes } = store.rootSync(root)
  return { kind: 'directory', name: '', mode, mtime, mtimeNsec, hash: tree, inodes, bytes }
}
