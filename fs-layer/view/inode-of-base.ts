import { IN_BASE, Inode, OWNER_ID, S_IFDIR, S_IFLNK, S_IFREG } from '../delta/inode.ts'
import type { NodeId } from '../protocol/filesystem.ts'
import type { TreeEntry } from '../store/objects.ts'

/** What ext4 shows for a directory of one block. */
const DIRECTORY_SIZE = 4096

/** An inode as the base has it. */
export function inodeOfBase(node: NodeId, entry: TreeEntry, parent: NodeId): Inode {
  const inode = new Inode(node, entry)
  inode.parent = parent
  inode.name = entry.name
  inode.mode = entry.mode | typeOfEntry(entry)
  inode.uid = OWNER_ID
  inode.gid = OWNER_ID
  inode.place = IN_BASE
  if (entry.kind === 'file') inode.size = entry.size
  else if (entry.kind === 'symlink') {
    inode.target = entry.target
    inode.size = entry.target.length
  } else inode.size = DIRECTORY_SIZE
  inode.atime = inode.mtime = inode.ctime = inode.btime = entry.mtime
  inode.atimeNsec = inode.mtimeNsec = inode.ctimeNsec = inode.btimeNsec = entry.mtimeNsec
  return inode
}

export function typeOfEntry(entry: TreeEntry): number {
  if (entry.kind === 'file') return S_IFREG
  return entry.kind === 'directory' ? S_IFDIR : S_IFLNK
}
