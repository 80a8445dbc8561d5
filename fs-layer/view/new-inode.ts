import { type Inode, OWNER_ID, S_IFDIR, S_IFMT } from '../delta/inode.ts'
import type { Caller } from '../protocol/filesystem.ts'
import type { Overlay } from './overlay.ts'

const S_ISGID = 0o2000

/** A node without a name yet, of whom it has to be when `caller` makes it in `directory`. */
export function newInode(
  caller: Caller,
  directory: Inode,
  mode: number,
  overlay: Overlay,
  owner: { readonly uid: number; readonly gid: number },
): Inode {
  // inode(7): in a set-group-ID directory the group is the directory's, and directories hand the bit on.
  const inherits = (directory.mode & S_ISGID) !== 0
  const isDirectory = (mode & S_IFMT) === S_IFDIR
  return overlay.make(
    inherits && isDirectory ? mode | S_ISGID : mode,
    caller.uid === owner.uid ? OWNER_ID : caller.uid,
    inherits ? directory.gid : caller.gid === owner.gid ? OWNER_ID : caller.gid,
  )
}
