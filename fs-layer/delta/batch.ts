import type { BatchOperation, Level } from 'level'
import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import type { DeltaDirectory } from './directory.ts'
import { IN_FILE, type Inode } from './inode.ts'
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

export type Operation = BatchOperation<Level<Buffer, Buffer>, Buffer, Buffer>

/** What a delta has in memory. */
export interface State {
  readonly inodes: ReadonlyMap<NodeId, Inode>
  readonly directories: ReadonlyMap<NodeId, DeltaDirectory>
}

export interface Dirty {
  readonly inodes: ReadonlySet<NodeId>
  readonly dentries: ReadonlyMap<NodeId, ReadonlySet<ByteString>>
  readonly contents: ReadonlySet<NodeId>
}

/** The records that bring the index on the disk to what is in memory. `meta` is null where it has not changed. */
export function operationsFor(state: State, meta: Meta | null, dirty: Dirty): Operation[] {
  const batch: Operation[] = meta === null ? [] : [{ type: 'put', key: META_KEY, value: encodeMeta(meta) }]
  for (const node of dirty.inodes) {
    const inode = state.inodes.get(node)
    if (inode === undefined) batch.push({ type: 'del', key: inodeKey(node) })
    else batch.push({ type: 'put', key: inodeKey(node), value: encodeInode(inode) })
  }
  for (const node of dirty.contents) {
    const inode = state.inodes.get(node)
    if (inode?.inline == null) batch.push({ type: 'del', key: contentKey(node) })
    else batch.push({ type: 'put', key: contentKey(node), value: inode.inline.subarray(0, inode.size) })
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

/** Of these nodes, those with contents in a file of their own. */
export function inFiles(state: State, nodes: ReadonlySet<NodeId>): Inode[] {
  return [...nodes].flatMap((node) => {
    const inode = state.inodes.get(node)
    return inode?.place === IN_FILE ? [inode] : []
  })
}
