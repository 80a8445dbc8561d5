import type { Inode } from '../delta/inode.ts'
import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import type { TreeEntry } from '../store/objects.ts'
import type { Overlay } from './overlay.ts'
import { stampModified } from './stamp.ts'

/**
 * What the base has at a name of which it was taken stands there again, with all that was in it. Null where it cannot: it
 * is elsewhere now, or somebody still holds it, or a part of it.
 */
export function revive(overlay: Overlay, directory: Inode, name: ByteString): Inode | null {
  const { delta } = overlay
  const dentry = delta.dentry(directory.node, name)
  const found = overlay.base.childOf(directory, name)
  if (dentry === undefined || dentry.node !== 0 || found === null) return null
  const { node, entry } = found
  const isShadow = dentry.shadows.length === 1 && dentry.shadows[0] === node
  if (isShadow ? overlay.known(node)?.isHeld : dentry.shadows.length > 0 || !isFree(overlay, node, entry)) return null
  overlay.structure++
  delta.deleteDentry(directory.node, name)
  const inode = overlay.lookup(directory, name) as Inode
  inode.nlink = 1
  inode.stateEpoch = -1
  if (inode.inDelta) delta.inodeChanged(inode)
  if (inode.isDirectory) overlay.onSubdirectory?.(directory, name, 1)
  stampModified(directory)
  overlay.changed(directory)
  return inode
}

/** Nothing is known of it, nor of anything that the base has below it. */
function isFree(overlay: Overlay, node: NodeId, entry: TreeEntry): boolean {
  const end = node + (entry.kind === 'directory' ? entry.inodes : 1)
  if (end - node <= overlay.delta.inodes.size + overlay.nodes.size) {
    for (let at = node; at < end; at++) if (overlay.known(at) !== undefined) return false
    return true
  }
  for (const inode of overlay.inMemory()) if (inode.node >= node && inode.node < end) return false
  return true
}
