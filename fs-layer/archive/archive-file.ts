import type { FileHandle } from 'node:fs/promises'
import { ArchiveError } from './archive-error.ts'

/** An archive on the disk that nobody else writes to. */
export interface ArchiveFile {
  readonly handle: FileHandle
  readonly size: number
}

const READ_BYTES = 256 * 1024

/** @throws {ArchiveError} `truncated` */
export async function readAt({ handle, size }: ArchiveFile, at: number, length: number): Promise<Buffer> {
  if (at < 0 || at + length > size) throw new ArchiveError('truncated', 'The archive ends before its end')
  const bytes = Buffer.alloc(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(bytes, done, length - done, at + done)
    if (bytesRead === 0) throw new ArchiveError('truncated', 'The archive ends before its end')
    done += bytesRead
  }
  return bytes
}

export async function* chunksAt(file: ArchiveFile, at = 0, length = file.size - at): AsyncGenerator<Buffer> {
  for (let done = 0; done < length; ) {
    const chunk = await readAt(file, at + done, Math.min(READ_BYTES, length - done))
    done += chunk.length
    yield chunk
  }
}
