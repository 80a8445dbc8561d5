import { S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from '../delta/inode.ts'
import type { ByteString } from '../protocol/filesystem.ts'

/**
 * `sandbox`: as the commands inside, what the rules hide does not exist. `owner`: every path and right.
 */
export type Principal = 'sandbox' | 'owner'

export interface NodeInfo {
  readonly path: ByteString
  readonly kind: 'file' | 'directory' | 'symlink' | 'fifo' | 'socket'
  readonly size: number
  readonly mode: number
  readonly mtime: number
  readonly mtimeNsec: number
  readonly ino: number
  readonly nlink: number
  /** Of a symlink. */
  readonly target?: ByteString
}

export interface WriteOptions {
  readonly mode?: number
  readonly parents?: boolean
  readonly append?: boolean
  readonly exclusive?: boolean
}

export function kindOf(mode: number): NodeInfo['kind'] {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return 'file'
    case S_IFDIR:
      return 'directory'
    case S_IFLNK:
      return 'symlink'
    case S_IFIFO:
      return 'fifo'
    case S_IFSOCK:
      return 'socket'
    default:
      throw new RangeError(`no kind for mode ${mode.toString(8)}`)
  }
}
