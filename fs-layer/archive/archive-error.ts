import type { ByteString } from '../protocol/filesystem.ts'
import { printablePath } from '../store/store-error.ts'

/**
 * - `truncated`: it ends before its end
 * - `damaged`: bytes that no program writes, or other contents than it says of itself
 * - `unsupported`: what a version has no place for, or a form that we do not read
 * - `unsafe`: an entry that would be somewhere else than in the archive's own tree
 * - `conflict`: entries that contradict each other
 * - `limit`: more than may be unpacked
 */
export type ArchiveErrorCode = 'truncated' | 'damaged' | 'unsupported' | 'unsafe' | 'conflict' | 'limit'

/** What is wrong with an archive that somebody sent. The message names the entry, in printable form. */
export class ArchiveError extends Error {
  readonly code: ArchiveErrorCode
  readonly path: ByteString | undefined

  constructor(code: ArchiveErrorCode, message: string, path?: ByteString, cause?: unknown) {
    super(path === undefined ? message : `${message}: ${printablePath(path)}`, cause === undefined ? {} : { cause })
    this.name = 'ArchiveError'
    this.code = code
    this.path = path
  }
}
