import { createHash } from 'node:crypto'
import { type BigIntStats, constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { UploadError } from '../errors.ts'
import { type BytePath, toBytes, toText } from './byte-path.ts'
import { codeOf, type FileIdentity, type LocalFile } from './walk.ts'

/** Thrown when a file is not what it was when the folder was read; an upload then starts over once. */
export class FileChanged extends Error {
  readonly path: BytePath

  constructor(path: BytePath) {
    super(`${toText(path)} changed while it was read`)
    this.name = 'FileChanged'
    this.path = path
  }
}

const CHUNK_BYTES = 256 * 1024

/** SHA-256 of the contents. Rejects with `FileChanged` or `UploadError`. */
export async function hashFile(root: BytePath, file: LocalFile): Promise<Buffer> {
  const hash = createHash('sha256')
  for await (const chunk of readFile(root, file)) hash.update(chunk)
  return hash.digest()
}

/**
 * The contents in chunks, each good until the next is asked for, and exactly `file.size` bytes. Ends with
 * `FileChanged` where the file is another one, or was written to, since it was found.
 */
export async function* readFile(root: BytePath, file: LocalFile): AsyncGenerator<Buffer, void, undefined> {
  const handle = await openSame(root, file)
  try {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(file.size, 1)))
    let left = file.size
    while (left > 0) {
      const { bytesRead } = await readOrFail(handle, buffer, file.path)
      if (bytesRead === 0 || bytesRead > left) throw new FileChanged(file.path)
      left -= bytesRead
      yield buffer.subarray(0, bytesRead)
    }
    if (!isSame(await handle.stat({ bigint: true }), file.identity)) throw new FileChanged(file.path)
  } finally {
    await handle.close()
  }
}

async function openSame(root: BytePath, file: LocalFile): Promise<FileHandle> {
  const path = toBytes(`${root}/${file.path}`)
  try {
    // NONBLOCK: a FIFO that took the file's place would block the open for ever.
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (['ENOENT', 'ELOOP', 'ENOTDIR', 'ENXIO'].includes(codeOf(error))) throw new FileChanged(file.path)
    throw unreadable(file.path, error)
  }
}

async function readOrFail(handle: FileHandle, buffer: Buffer, path: BytePath) {
  try {
    return await handle.read(buffer, 0, buffer.length, null)
  } catch (error) {
    if (codeOf(error) === 'EISDIR') throw new FileChanged(path)
    throw unreadable(path, error)
  }
}

function isSame(stat: BigIntStats, identity: FileIdentity): boolean {
  return (
    stat.dev === identity.dev &&
    stat.ino === identity.ino &&
    stat.size === identity.size &&
    stat.mtimeNs === identity.mtimeNs &&
    stat.ctimeNs === identity.ctimeNs
  )
}

function unreadable(path: BytePath, error: unknown): UploadError {
  const text = toText(path)
  return new UploadError(text, `The file ${text} cannot be read (${codeOf(error)})`, { cause: error })
}
