import type { NodeId } from '../protocol/filesystem.ts'
import type { Inode } from './inode.ts'

/** Of the inodes of the next batch, those that have moved to files of their own: null where none must wait. */
export function syncMoved(
  nodes: ReadonlySet<NodeId>,
  inodes: ReadonlyMap<NodeId, Inode>,
  sync: (inode: Inode) => Promise<void>,
): Promise<unknown> | null {
  const moved: Inode[] = []
  for (const node of nodes) {
    const inode = inodes.get(node)
    if (inode?.unsafeUntilSynced) moved.push(inode)
  }
  if (moved.length === 0) return null
  return Promise.all(
    moved.map(async (inode) => {
      await sync(inode)
      inode.unsafeUntilSynced = false
    }),
  )
}
