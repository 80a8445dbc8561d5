import { EDQUOT } from '../protocol/errno.ts'
import type { Inode } from './inode.ts'

/** What a delta may hold. A part that is absent has no limit but the disk. */
export interface Quota {
  /** Room for contents, extended attributes and long link targets, as `st_blocks` counts it, in bytes. */
  readonly bytes?: number | undefined
  /** Inodes that the sandbox made, and further names of files with several. */
  readonly inodes?: number | undefined
}

/**
 * What a delta holds, and whether more may be added: exact to the block and the inode. Base inodes are no one's:
 * only what has been copied up counts. Giving back never fails, so deleting works at the edge.
 */
export class Usage {
  bytes = 0
  inodes = 0
  quota: Quota = {}

  /** Throws EDQUOT where `more` bytes would be beyond the quota. */
  needBytes(more: number): void {
    if (more > 0 && this.bytes + more > (this.quota.bytes ?? Number.POSITIVE_INFINITY)) throw EDQUOT
  }

  takeInode(): void {
    if (this.inodes + 1 > (this.quota.inodes ?? Number.POSITIVE_INFINITY)) throw EDQUOT
    this.inodes++
  }

  /** False: it takes nothing, for it had lost its last name and was open when the last server died. */
  loaded(inode: Inode): boolean {
    if (inode.entry === null && inode.nlink === 0 && inode.parent === 0) return false
    this.inodes += (inode.entry === null ? 1 : 0) + Math.max(0, inode.nlink - 1)
    return true
  }

  giveInodes(count: number): void {
    this.inodes -= count
  }

  /** The room that an inode takes is `bytes` from now on. */
  settle(inode: Inode, bytes: number): void {
    this.bytes += bytes - inode.charged
    inode.charged = bytes
  }
}
