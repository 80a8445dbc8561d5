import { EIO } from '../protocol/errno.ts'
import type { NodeId } from '../protocol/filesystem.ts'
import type { Changes } from './changes.ts'
import type { DeltaDirectory } from './directory.ts'
import { IN_FILE, IN_INDEX, type Inode } from './inode.ts'
import type { Operation } from './operations.ts'
import {
  contentKey,
  dentryKey,
  encodeDentry,
  encodeInode,
  encodeMeta,
  inodeKey,
  META_KEY,
  type Meta,
} from './record.ts'

/** What a delta has in memory. */
export interface State {
  readonly inodes: ReadonlyMap<NodeId, Inode>
  readonly directories: ReadonlyMap<NodeId, DeltaDirectory>
  /** Of a small file whose contents have left memory. */
  readContent(node: NodeId): Buffer | undefined
}

/** The records that bring the index on the disk to what is in memory. `meta` is null where it has not changed. */
export function operationsFor(state: State, meta: Meta | null, dirty: Changes): Operation[] {
  const batch: Operation[] = meta === null ? [] : [{ type: 'put', key: META_KEY, value: encodeMeta(meta) }]
  for (const node of dirty.inodes) {
    const inode = state.inodes.get(node)
    if (inode === undefined) batch.push({ type: 'del', key: inodeKey(node) })
    else batch.push({ type: 'put', key: inodeKey(node), value: encodeInode(inode) })
  }
  for (const node of dirty.contents) {
    const inode = state.inodes.get(node)
    if (inode?.place !== IN_INDEX) batch.push({ type: 'del', key: contentKey(node) })
    else batch.push({ type: 'put', key: contentKey(node), value: contentsOf(inode, state) })
  }
  for (const [parent, names] of dirty.dentries) {
    for (const name of names) {
      const dentry = state.directories.get(parent)?.get(name)
      if (dentry === undefined) batch.push({ type: 'del', key: dentryKey(parent, name) })
      else batch.push({ type: 'put', key: dentryKey(parent, name), value: encodeDentry(dentry) })
    }
  }
  return batch
}

function contentsOf(inode: Inode, state: State): Buffer {
  const contents = inode.inline ?? state.readContent(inode.node)
  if (contents === undefined || contents.length < inode.size) throw EIO
  return contents.subarray(0, inode.size)
}

/** Of these nodes, those with contents in a file of their own. */
export function inFiles(state: State, nodes: ReadonlySet<NodeId>): Inode[] {
  return [...nodes].flatMap((node) => {
    const inode = state.inodes.get(node)
    return inode?.place === IN_FILE ? [inode] : []
  })
}
