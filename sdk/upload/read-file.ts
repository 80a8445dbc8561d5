import { createHash } from 'node:crypto'
import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
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
/** Up to here a file is read at once. */
export const SMALL_FILE_BYTES = 64 * 1024

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
  if (file.size > SMALL_FILE_BYTES) {
    yield* readLargeFile(root, file)
    return
  }
  const content = readSmallFile(root, file)
  if (content.length > 0) yield content
}

/** Not asynchronous: of four calls to the kernel each would cost more to hand to another thread than to make. */
function readSmallFile(root: BytePath, file: LocalFile): Buffer {
  // One byte more than there should be: a file that has grown fills it.
  const buffer = Buffer.allocUnsafe(file.size + 1)
  let bytesRead: number
  let stat: BigIntStats
  try {
    const fd = openSync(toBytes(`${root}/${file.path}`), OPEN_FLAGS)
    try {
      bytesRead = readSync(fd, buffer)
      stat = fstatSync(fd, { bigint: true })
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    throw changedOrUnreadable(file.path, error)
  }
  if (bytesRead !== file.size || !isSame(stat, file.identity)) throw new FileChanged(file.path)
  return buffer.subarray(0, bytesRead)
}

async function* readLargeFile(root: BytePath, file: LocalFile): AsyncGenerator<Buffer, void, undefined> {
  const handle = await openSame(root, file)
  try {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
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

/** NONBLOCK: a FIFO that took the file's place would block the open for ever. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

async function openSame(root: BytePath, file: LocalFile): Promise<FileHandle> {
  try {
    return await open(toBytes(`${root}/${file.path}`), OPEN_FLAGS)
  } catch (error) {
    throw changedOrUnreadable(file.path, error)
  }
}

async function readOrFail(handle: FileHandle, buffer: Buffer, path: BytePath) {
  try {
    return await handle.read(buffer, 0, buffer.length, null)
  } catch (error) {
    throw changedOrUnreadable(path, error)
  }
}

/** What these say is that something else is at the path now. */
function changedOrUnreadable(path: BytePath, error: unknown): FileChanged | UploadError {
  if (['ENOENT', 'ELOOP', 'ENOTDIR', 'ENXIO', 'EISDIR', 'EAGAIN'].includes(codeOf(error))) return new FileChanged(path)
  const text = toText(path)
  return new UploadError(text, `The file ${text} cannot be read (${codeOf(error)})`, { cause: error })
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
