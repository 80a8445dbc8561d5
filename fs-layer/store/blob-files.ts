import type { FileHandle } from 'node:fs/promises'
import { mkdir, open, readdir, rename, rm, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Database, hashKey, KIND_BLOB } from './database.ts'
import { checkFreeSpace } from './free-space.ts'
import { startHash } from './hash.ts'
import { writeUint64 } from './int64.ts'
import { MAX_BLOB_BYTES, MAX_COMMIT_GROUP } from './limits.ts'
import type { Hash } from './objects.ts'
import { BLOB_MTIME, blobPath } from './reader.ts'
import { asStoreError, StoreError } from './store-error.ts'

/**
 * The blobs that are files. A file is written under a temporary name, synced, renamed to its place, its
 * directory synced, and only then is its record put into the database. A blob is in the store when its record
 * is: a file without one is left over from a crash and harmless, for a later put of that blob replaces it.
 *
 * Syncs are dear and the disk does many at once for little more than the price of one: what becomes ready
 * while a group is made durable is the next group.
 */
export class BlobFiles {
  readonly #dir: string
  readonly #minFreeBytes: number
  readonly #database: Database
  #waiting: Waiting[] = []
  #committing: Promise<void> | null = null
  #made = 0

  constructor(options: { dir: string; minFreeBytes: number }, { database }: { database: Database }) {
    this.#dir = options.dir
    this.#minFreeBytes = options.minFreeBytes
    this.#database = database
  }

  /** Makes the directories, and removes what a crash left half written. */
  async prepare(): Promise<void> {
    try {
      await rm(this.#tmpDir, { recursive: true, force: true })
      await mkdir(this.#tmpDir, { recursive: true, mode: 0o700 })
      const blobs = join(this.#dir, 'blobs')
      await mkdir(blobs, { recursive: true, mode: 0o700 })
      const there = new Set(await readdir(blobs))
      const wanted = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
      const lacking = wanted.filter((name) => !there.has(name))
      if (lacking.length === 0) return
      await Promise.all(lacking.map((name) => mkdir(join(blobs, name), { mode: 0o700 })))
      await syncDir(blobs)
      await syncDir(this.#dir)
    } catch (error) {
      throw asStoreError(error, 'preparing the directory of blobs')
    }
  }

  /**
   * Takes a blob's bytes into a temporary file; `commit` or `drop` must follow. Memory is bounded: the source
   * is asked for more only when the disk has taken what came.
   */
  async receive(
    declared: { hash?: Hash; size?: number },
    chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
  ): Promise<Received> {
    await checkFreeSpace(this.#dir, declared.size ?? 0, this.#minFreeBytes)
    const path = join(this.#tmpDir, String(this.#made++))
    const handle = await open(path, 'wx', 0o444).catch((error: unknown) => {
      throw asStoreError(error, 'making a temporary file')
    })
    try {
      const hash = startHash()
      let size = 0
      let checkedSize = 0
      // Gathered in a buffer of our own: a client may send a byte, or none, at a time.
      const gathered = Buffer.allocUnsafe(Math.min(declared.size ?? WRITE_BYTES, WRITE_BYTES))
      let filled = 0
      let written = 0
      for await (const chunk of chunks) {
        size += chunk.length
        checkGrowth(declared, size)
        hash.update(chunk)
        if (filled + chunk.length > gathered.length) {
          written = await writeAt(handle, gathered.subarray(0, filled), written)
          filled = 0
        }
        if (chunk.length > gathered.length) written = await writeAt(handle, chunk, written)
        else filled += chunk.copy(gathered, filled)
        if (declared.size !== undefined || size - checkedSize < CHECK_BYTES) continue
        await checkFreeSpace(this.#dir, 0, this.#minFreeBytes)
        checkedSize = size
      }
      await writeAt(handle, gathered.subarray(0, filled), written)
      await handle.truncate(size).catch((error: unknown) => {
        throw asStoreError(error, 'writing a blob')
      })
      const received = { path, handle, size, hash: hash.digest() }
      checkDeclared(declared, received)
      return received
    } catch (error) {
      await this.drop({ path, handle })
      throw error
    }
  }

  /** Resolves when the blob is in the store for good. Whatever happens, the temporary file is gone then. */
  commit(received: Received): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ received, resolve, reject })
      this.#committing ??= this.#commitAll()
    })
  }

  async drop(received: Pick<Received, 'path' | 'handle'>): Promise<void> {
    await received.handle.close()
    await unlink(received.path)
  }

  /** Resolves when nothing waits to be committed. */
  async settled(): Promise<void> {
    await this.#committing
  }

  get #tmpDir(): string {
    return join(this.#dir, 'tmp')
  }

  // Never rejects: each failure goes to those who wait for the blob.
  async #commitAll(): Promise<void> {
    while (this.#waiting.length > 0) await this.#commitGroup(this.#waiting.splice(0, MAX_COMMIT_GROUP))
    this.#committing = null
  }

  async #commitGroup(group: readonly Waiting[]): Promise<void> {
    const placed = (await Promise.all(group.map((waiting) => this.#place(waiting)))).filter((one) => one !== null)
    try {
      const dirs = new Set(placed.map(({ received }) => dirname(blobPath(this.#dir, received.hash))))
      await Promise.all(Array.from(dirs, syncDir))
      await this.#database.write(placed.map(({ received }) => blobRecord(received.hash, received.size)))
      for (const { resolve } of placed) resolve()
    } catch (error) {
      const failure = asStoreError(error, 'making blobs durable')
      for (const { reject } of placed) reject(failure)
    }
  }

  async #place(waiting: Waiting): Promise<Waiting | null> {
    const { received, reject } = waiting
    try {
      await received.handle.utimes(BLOB_MTIME, BLOB_MTIME)
      await received.handle.datasync()
      await received.handle.close()
      await rename(received.path, blobPath(this.#dir, received.hash))
      return waiting
    } catch (error) {
      reject(asStoreError(error, 'making a blob durable', { hash: received.hash }))
      await received.handle.close().catch(() => undefined)
      await rm(received.path, { force: true }).catch(() => undefined)
      return null
    }
  }
}

/** A blob in a temporary file: all there and verified, but not durable and not in the store. */
export interface Received {
  readonly path: string
  readonly handle: FileHandle
  readonly hash: Hash
  readonly size: number
}

export function blobRecord(hash: Hash, size: number): { key: Buffer; value: Buffer } {
  const value = Buffer.allocUnsafe(8)
  writeUint64(value, size, 0)
  return { key: hashKey(KIND_BLOB, hash), value }
}

/** @throws {StoreError} `mismatch` or `limit`, as soon as there are more bytes than there can be */
export function checkGrowth(declared: { hash?: Hash; size?: number }, size: number): void {
  if (size > MAX_BLOB_BYTES) throw new StoreError('limit', `A blob of more than ${MAX_BLOB_BYTES} bytes`)
  if (declared.size === undefined || size <= declared.size) return
  const data = declared.hash === undefined ? {} : { hash: declared.hash }
  throw new StoreError('mismatch', `More than the declared ${declared.size} bytes were sent`, data)
}

/** @throws {StoreError} `mismatch`: other bytes came than were declared */
export function checkDeclared(declared: { hash?: Hash; size?: number }, came: { hash: Hash; size: number }): void {
  const data = { hash: declared.hash ?? came.hash }
  if (declared.size !== undefined && came.size !== declared.size) {
    throw new StoreError('mismatch', `${came.size} bytes were sent instead of the declared ${declared.size}`, data)
  }
  if (declared.hash !== undefined && came.hash !== declared.hash) {
    throw new StoreError('mismatch', `What was sent has the hash ${came.hash} instead of ${declared.hash}`, data)
  }
}

const WRITE_BYTES = 256 * 1024
const CHECK_BYTES = 16 * 1024 * 1024
/** A shorter run of zeros is written. */
const HOLE_BYTES = 64 * 1024
const ZEROS = Buffer.alloc(WRITE_BYTES)

interface Waiting {
  readonly received: Received
  readonly resolve: () => void
  readonly reject: (error: StoreError) => void
}

/** Returns where the bytes end. Zeros are left as a hole, so that a sparse file takes no more room here. */
async function writeAt(handle: FileHandle, bytes: Buffer, position: number): Promise<number> {
  const end = position + bytes.length
  if (bytes.length >= HOLE_BYTES && bytes.equals(ZEROS.subarray(0, bytes.length))) return end
  try {
    // A disk that fills up takes a part first and says ENOSPC to the rest.
    for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at, undefined, position + at)).bytesWritten
  } catch (error) {
    throw asStoreError(error, 'writing a blob')
  }
  return end
}

async function syncDir(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
