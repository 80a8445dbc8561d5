import { EIO, type Errno } from '../protocol/errno.ts'
import type { FileEntry, Hash } from '../store/objects.ts'
import type { BlobLocation } from '../store/reader.ts'
import type { Inode } from './inode.ts'

/** The contents of the base's files. */
export interface Blobs {
  blobSync(hash: Hash): BlobLocation
  /** What to throw where a blob's file turns out to be bad; it is told to the log. */
  fault(hash: Hash, error: unknown): Errno
}

/** What the base has of a file that has not been changed. */
export function fileOf(inode: Inode): FileEntry {
  if (inode.entry?.kind !== 'file') throw EIO
  return inode.entry
}
