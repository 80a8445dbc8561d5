import type { Inode } from '../delta/inode.ts'
import { coarseTime } from './clock.ts'

export function stampChange(inode: Inode): void {
  const { sec, nsec } = coarseTime()
  inode.ctime = sec
  inode.ctimeNsec = nsec
}

export function stampModified(inode: Inode): void {
  stampChange(inode)
  inode.mtime = inode.ctime
  inode.mtimeNsec = inode.ctimeNsec
}

/** Of a new inode. */
export function stampAll(inode: Inode): void {
  stampModified(inode)
  inode.atime = inode.btime = inode.ctime
  inode.atimeNsec = inode.btimeNsec = inode.ctimeNsec
}
