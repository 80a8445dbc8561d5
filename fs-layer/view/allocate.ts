import type { Contents } from '../delta/contents.ts'
import type { Inode } from '../delta/inode.ts'
import { EOPNOTSUPP } from '../protocol/errno.ts'

/** The modes of fallocate(2) that there are here. */
const FALLOC_KEEP_SIZE = 1
const FALLOC_PUNCH_HOLE = 2
const FALLOC_ZERO_RANGE = 16

/** Room is not set aside: what is promised here may still end in ENOSPC when it is written. */
export function allocate(contents: Contents, inode: Inode, offset: number, length: number, mode: number): void {
  if (mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) throw EOPNOTSUPP
  const end = offset + length
  if (mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) contents.zero(inode, offset, Math.min(end, inode.size))
  if (!(mode & FALLOC_KEEP_SIZE) && end > inode.size) contents.truncate(inode, end)
}
