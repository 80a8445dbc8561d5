import type { ByteString } from '../protocol/filesystem.ts'
import type { Inode } from './inode.ts'

/** In an ext4 inode of 256 bytes so much fits beside the fixed fields, and a link target of so many. */
const XATTRS_IN_INODE_BYTES = 100
const TARGET_IN_INODE_BYTES = 59
export const BLOCK_BYTES = 4096

/** Bytes of the quota that an inode takes beside its contents: whole blocks of what does not fit into an inode. */
export function extraRoom(inode: Inode): number {
  const target = inode.entry === null ? targetRoom(inode.target) : 0
  return target + (inode.xattrs === null ? 0 : xattrRoom(xattrBytes(inode)))
}

export function targetRoom(target: ByteString): number {
  return target.length > TARGET_IN_INODE_BYTES ? BLOCK_BYTES : 0
}

export function xattrBytes(inode: Inode): number {
  let bytes = 0
  for (const [name, value] of inode.xattrs ?? []) bytes += name.length + value.length
  return bytes
}

export function xattrRoom(bytes: number): number {
  return bytes <= XATTRS_IN_INODE_BYTES ? 0 : wholeBlocks(bytes)
}

export function wholeBlocks(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES
}
