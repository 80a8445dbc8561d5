import type { Usage } from '../delta/usage.ts'
import type { Statfs } from '../protocol/filesystem.ts'

/** What statfs(2) tells of a view: its quota where it has one, and never more room than the disk has. */
export function statfsOf(disk: Statfs, { bytes, inodes, quota }: Usage): Statfs {
  const told = { ...disk }
  if (quota.bytes !== undefined) {
    told.blocks = Math.floor(quota.bytes / disk.blockSize)
    const left = Math.floor(Math.max(0, quota.bytes - bytes) / disk.blockSize)
    told.blocksFree = Math.min(disk.blocksFree, left)
  }
  if (quota.inodes !== undefined) {
    told.files = quota.inodes
    told.filesFree = Math.min(disk.filesFree, Math.max(0, quota.inodes - inodes))
  }
  return told
}
