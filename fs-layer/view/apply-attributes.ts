import { type Inode, OWNER_ID, S_IFMT } from '../delta/inode.ts'
import type { SetAttr } from '../protocol/filesystem.ts'
import { stampChange } from './stamp.ts'

const S_ISUID = 0o4000
const S_ISGID = 0o2000
const S_IXGRP = 0o010

/** All of a setattr but the size, of which only the modification time is kept here. */
export function applyAttributes(
  inode: Inode,
  set: SetAttr,
  owner: { readonly uid: number; readonly gid: number },
): void {
  if (set.mode !== undefined) inode.mode = (inode.mode & S_IFMT) | (set.mode & 0o7777)
  if (set.uid !== undefined) inode.uid = set.uid === owner.uid ? OWNER_ID : set.uid
  if (set.gid !== undefined) inode.gid = set.gid === owner.gid ? OWNER_ID : set.gid
  if (set.killSuidgid) killSuidgid(inode)
  stampChange(inode)
  if (set.atime === 'now') {
    inode.atime = inode.ctime
    inode.atimeNsec = inode.ctimeNsec
  } else if (set.atime !== undefined) {
    inode.atime = set.atime.sec
    inode.atimeNsec = set.atime.nsec
  }
  if (set.mtime === 'now' || (set.mtime === undefined && set.size !== undefined)) {
    inode.mtime = inode.ctime
    inode.mtimeNsec = inode.ctimeNsec
  } else if (set.mtime !== undefined) {
    inode.mtime = set.mtime.sec
    inode.mtimeNsec = set.mtime.nsec
  }
  if (set.ctime !== undefined) {
    inode.ctime = set.ctime.sec
    inode.ctimeNsec = set.ctime.nsec
  }
}

/**
 * As the kernel does it: of files only, and the set-group-ID bit stays where it means mandatory locking (no group
 * execute).
 */
export function killSuidgid(inode: Inode): void {
  if (!inode.isFile) return
  inode.mode &= ~S_ISUID
  if (inode.mode & S_IXGRP) inode.mode &= ~S_ISGID
}
