import { createHash } from 'node:crypto'
import { IN_BASE, type Inode } from '../delta/inode.ts'
import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import { ROOT_NODE } from '../protocol/filesystem.ts'
import type { TreeEntry } from '../store/objects.ts'
import { kindOf } from './node-info.ts'
import type { Overlay } from './overlay.ts'

export type ChangeKind = 'created' | 'modified' | 'deleted' | 'renamed' | 'mode'

/** One difference between the view and its base. */
export interface Change {
  readonly kind: ChangeKind
  /** From the root, without a leading slash. */
  readonly path: ByteString
  /** Where a renamed entry was in the base. */
  readonly from?: ByteString
  readonly type: 'file' | 'directory' | 'symlink' | 'fifo' | 'socket'
  readonly size: number
  readonly mode: number
  /** For `modified` and `mode`. */
  readonly oldMode?: number
  /** A renamed file's contents or mode changed too. */
  readonly modified?: boolean
}

/**
 * All differences, by path. Their cost goes with what changed: only what the delta speaks of is looked at. Of a
 * directory that moved only the directory is told, of one that is gone everything that was in it.
 *
 * Times alone are no change. A file that was written anew with what it had is none either.
 */
export function changesOf(overlay: Overlay): Change[] {
  const changes: Change[] = []
  for (const inode of overlay.delta.inodes.values()) {
    if (inode.nlink === 0 || inode.node === ROOT_NODE) continue
    for (const name of [{ parent: inode.parent, name: inode.name }, ...(inode.otherNames ?? [])]) {
      const change = changeAt(overlay, inode, name.parent, name.name)
      if (change !== null) changes.push(change)
    }
  }
  for (const [parent, directory] of overlay.delta.directories) {
    for (const dentry of directory.all()) addDeleted(overlay, parent, dentry.name, dentry.node, changes)
  }
  return changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
}

function changeAt(overlay: Overlay, inode: Inode, parent: NodeId, name: ByteString): Change | null {
  const path = childPath(overlay, parent, name)
  const now = { path, type: kindOf(inode.mode), size: inode.isDirectory ? 0 : inode.size, mode: inode.mode & 0o7777 }
  if (inode.entry !== null) {
    const origin = overlay.base.find(inode.node)
    const difference = differenceOf(overlay, inode, inode.entry)
    if (origin.parent === parent && origin.entry.name === name) {
      return difference === null ? null : { kind: difference, ...now, oldMode: inode.entry.mode }
    }
    if (hasMovedTo(inode, origin, parent, name)) {
      return { kind: 'renamed', ...now, from: overlay.base.pathOf(inode.node), modified: difference !== null }
    }
  }
  const before = replacedBy(overlay, parent, name)
  if (before === null) return { kind: 'created', ...now }
  const difference = differenceOf(overlay, inode, before)
  return difference === null ? null : { kind: difference, ...now, oldMode: before.mode }
}

/** A further name of a file takes nothing away from where the base has it: it is one that was created. */
function hasMovedTo(
  inode: Inode,
  origin: { readonly parent: NodeId; readonly entry: TreeEntry },
  parent: NodeId,
  name: ByteString,
): boolean {
  const names = [{ parent: inode.parent, name: inode.name }, ...(inode.otherNames ?? [])]
  if (names.some((each) => each.parent === origin.parent && each.name === origin.entry.name)) return false
  const [first] = names.sort((a, b) => a.parent - b.parent || (a.name < b.name ? -1 : 1))
  return first?.parent === parent && first.name === name
}

/** What the base had at a name that now leads to a node of the sandbox's, if it is gone: editors save so. */
function replacedBy(overlay: Overlay, parent: NodeId, name: ByteString): TreeEntry | null {
  const found = baseEntry(overlay, parent, name)
  return found === null || overlay.delta.inodes.has(found.node) ? null : found.entry
}

function differenceOf(overlay: Overlay, inode: Inode, before: TreeEntry): 'modified' | 'mode' | null {
  if (kindOf(inode.mode) !== before.kind) return 'modified'
  if (before.kind === 'symlink') return inode.target === before.target ? null : 'modified'
  if (before.kind === 'file' && !hasContents(overlay, inode, before)) return 'modified'
  return (inode.mode & 0o7777) === before.mode ? null : 'mode'
}

function hasContents(overlay: Overlay, inode: Inode, before: TreeEntry & { kind: 'file' }): boolean {
  if (inode.size !== before.size) return false
  if (inode.place === IN_BASE) return inode.entry === before
  return hashOf(overlay, inode) === before.hash
}

const HASH_CHUNK_BYTES = 1 << 20

function hashOf(overlay: Overlay, inode: Inode): string {
  const hash = createHash('sha256')
  const chunk = Buffer.allocUnsafe(Math.min(HASH_CHUNK_BYTES, inode.size))
  for (let at = 0; at < inode.size; ) {
    const got = overlay.contents.read(inode, at, chunk.length, chunk, 0)
    if (got === 0) break
    hash.update(chunk.subarray(0, got))
    at += got
  }
  return hash.digest('hex')
}

/** What the base has at a name of one of its directories that the delta overrides. */
function addDeleted(overlay: Overlay, parent: NodeId, name: ByteString, now: NodeId, changes: Change[]): void {
  const found = baseEntry(overlay, parent, name)
  if (found === null) return
  const { entry, node } = found
  // It moved, or is where it was; its inode tells that.
  if (overlay.delta.inodes.get(node)?.nlink) return
  const hasHidden = overlay.delta.dentry(parent, name)?.shadows.includes(node) ?? false
  const path = overlay.base.pathOf(node)
  if (now === 0 && !hasHidden) changes.push(deleted(path, entry))
  // What was in a directory that still holds something hidden is told by that directory's own whiteouts.
  if (entry.kind === 'directory' && !hasHidden) addDeletedBelow(overlay, node, entry, path, changes)
}

function addDeletedBelow(
  overlay: Overlay,
  directory: NodeId,
  entry: TreeEntry,
  path: ByteString,
  changes: Change[],
): void {
  const tree = overlay.base.tree(entry)
  tree.entries.forEach((child, index) => {
    const node = overlay.base.nodeAt(directory, tree, index)
    if (overlay.delta.inodes.get(node)?.nlink) return
    const childPath = `${path}/${child.name}`
    changes.push(deleted(childPath, child))
    if (child.kind === 'directory') addDeletedBelow(overlay, node, child, childPath, changes)
  })
}

function deleted(path: ByteString, entry: TreeEntry): Change {
  const size = entry.kind === 'file' ? entry.size : 0
  return { kind: 'deleted', path, type: entry.kind, size, mode: entry.mode }
}

function baseEntry(overlay: Overlay, parent: NodeId, name: ByteString): { entry: TreeEntry; node: NodeId } | null {
  if (parent > overlay.base.inodes) return null
  const tree = overlay.base.tree(overlay.base.find(parent).entry)
  const index = overlay.base.indexOf(tree, name)
  if (index < 0) return null
  return { entry: tree.entries[index]!, node: overlay.base.nodeAt(parent, tree, index) }
}

function childPath(overlay: Overlay, parent: NodeId, name: ByteString): ByteString {
  const directory = overlay.pathOf(overlay.inode(parent))
  return directory === '' ? name : `${directory}/${name}`
}
