import { mkdir, open } from 'node:fs/promises'
import { BlobFiles, blobRecord, checkDeclared, checkGrowth } from './blob-files.ts'
import { checkLogs } from './check-logs.ts'
import {
  type Change,
  Database,
  hashKey,
  KIND_BLOB,
  KIND_CONTENTS,
  KIND_NAME,
  KIND_ROOT,
  KIND_STORE,
  KIND_TREE,
  nameKey,
} from './database.ts'
import { checkFreeSpace } from './free-space.ts'
import { checkHash, hashBytes, startHash } from './hash.ts'
import { DEFAULT_MIN_FREE_BYTES, MAX_BLOB_BYTES, MAX_INLINE_BYTES, MAX_ROOT_NAME_BYTES } from './limits.ts'
import type { Hash, Root } from './objects.ts'
import { databaseDir, type ReaderOptions, readSizeRecord, StoreReader } from './reader.ts'
import { encodeRoot } from './root.ts'
import { asStoreError, StoreError } from './store-error.ts'

export interface StoreOptions extends ReaderOptions {
  /** What is left free on the disk: writes that would leave less fail with `full`. Default 64 MiB. */
  readonly minFreeBytes?: number
}

/** What the sender says of a blob; what is absent is not checked. */
export interface DeclaredBlob {
  readonly hash?: Hash
  /** Bytes. */
  readonly size?: number
}

export interface StoredBlob {
  readonly hash: Hash
  readonly size: number
}

/**
 * The one writer of a store's directory. Everything is durable when its promise resolves, and is not there at
 * all before. Objects never change and may be put any number of times, by any number of callers at once.
 */
export class Store extends StoreReader {
  readonly #files: BlobFiles
  readonly #minFreeBytes: number

  private constructor(options: StoreOptions, dependencies: { database: Database; files: BlobFiles }) {
    super(options, dependencies)
    this.#files = dependencies.files
    this.#minFreeBytes = options.minFreeBytes ?? DEFAULT_MIN_FREE_BYTES
  }

  /**
   * Opens the store, making it where there is none. One `Store` for a directory; further threads of the same
   * process use `StoreReader`.
   *
   * @throws {StoreError} `locked`, `format`, `full`, `corrupt`, `read-only`, `io`
   */
  static override async open(options: StoreOptions): Promise<Store> {
    await mkdir(options.dir, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
      throw asStoreError(error, `making the directory ${options.dir}`)
    })
    const minFreeBytes = options.minFreeBytes ?? DEFAULT_MIN_FREE_BYTES
    checkLogs(databaseDir(options.dir))
    const database = await Database.open(databaseDir(options.dir))
    try {
      await checkFormat(database)
      const files = new BlobFiles({ dir: options.dir, minFreeBytes }, { database })
      await files.prepare()
      return new Store(options, { database, files })
    } catch (error) {
      await database[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Those of `hashes` that the store lacks, each once, in the order given. */
  async missingBlobs(hashes: readonly Hash[]): Promise<Hash[]> {
    const asked = Array.from(new Set(hashes))
    const sizes = await this.blobSizes(asked)
    return asked.filter((_, index) => sizes[index] === undefined)
  }

  /** The size of each blob, or undefined where the store lacks it. */
  async blobSizes(hashes: readonly Hash[]): Promise<(number | undefined)[]> {
    const records = await this.database.getMany(hashes.map((hash) => hashKey(KIND_BLOB, checkHash(hash))))
    return records.map((record, index) =>
      record === undefined ? undefined : readSizeRecord(record, hashes[index] as Hash),
    )
  }

  /**
   * Puts one blob of any size in bounded memory. Chunks are the store's from then on: the source must not
   * change them. When it rejects, the source has been closed and nothing of the blob is left.
   *
   * @throws {StoreError} `mismatch`, `full`, `limit`, `io`; and whatever the source throws
   */
  async putBlob(declared: DeclaredBlob, source: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<StoredBlob> {
    const { stored, durable } = await this.receiveBlob(declared, source)
    await durable
    return stored
  }

  /**
   * As `putBlob`, but resolves when the source has ended and its bytes are verified, so that the next blob of
   * a stream can be taken meanwhile: blobs that become durable together cost little more than one.
   */
  async receiveBlob(
    declared: DeclaredBlob,
    source: AsyncIterable<Buffer> | Iterable<Buffer>,
  ): Promise<{ stored: StoredBlob; durable: Promise<void> }> {
    checkDeclaration(declared)
    const chunks = asyncIterator(source)
    const head: Buffer[] = []
    let size = 0
    try {
      while (size <= MAX_INLINE_BYTES) {
        const next = await chunks.next()
        if (next.done === true) {
          const bytes = head.length === 1 ? (head[0] as Buffer) : Buffer.concat(head)
          const stored = { hash: hashBytes(bytes), size }
          checkDeclared(declared, stored)
          return { stored, durable: this.#putInline([{ hash: stored.hash, data: bytes }]) }
        }
        if (next.value.length === 0) continue
        size += next.value.length
        checkGrowth(declared, size)
        head.push(next.value)
      }
    } catch (error) {
      await chunks.return?.()
      throw error
    }
    const received = await this.#files.receive(declared, followedBy(head, chunks)).catch(async (error: unknown) => {
      await chunks.return?.()
      throw error
    })
    const stored = { hash: received.hash, size: received.size }
    let known: number | undefined
    try {
      known = (await this.blobSizes([stored.hash]))[0]
    } catch (error) {
      await this.#files.drop(received)
      throw error
    }
    if (known === undefined) return { stored, durable: this.#files.commit(received) }
    await this.#files.drop(received)
    return { stored, durable: Promise.resolve() }
  }

  /**
   * Puts many blobs of at most 16 KiB in one synced batch, all or none; the caller bounds their sum.
   *
   * @throws {StoreError} `mismatch`, `limit`, `full`, `io`
   */
  async putSmallBlobs(blobs: readonly { hash?: Hash; data: Buffer }[]): Promise<StoredBlob[]> {
    const hashed = blobs.map(({ hash: declared, data }) => {
      if (data.length > MAX_INLINE_BYTES) {
        throw new StoreError('limit', `A small blob of ${data.length} bytes, over ${MAX_INLINE_BYTES}`)
      }
      const hash = hashBytes(data)
      checkDeclared(declared === undefined ? {} : { hash: declared }, { hash, size: data.length })
      return { hash, data }
    })
    await this.#putInline(hashed)
    return hashed.map(({ hash, data }) => ({ hash, size: data.length }))
  }

  /**
   * Puts trees by their canonical bytes, and maybe a root, in one synced batch. What they refer to is the
   * caller's to have put before.
   */
  async putTrees(trees: ReadonlyMap<Hash, Buffer>, root?: Root): Promise<Hash | undefined> {
    const changes: Change[] = []
    for (const [hash, value] of trees) changes.push({ key: hashKey(KIND_TREE, hash), value })
    let rootHash: Hash | undefined
    if (root !== undefined) {
      const value = encodeRoot(root)
      rootHash = hashBytes(value)
      changes.push({ key: hashKey(KIND_ROOT, rootHash), value })
    }
    await this.#write(changes)
    return rootHash
  }

  /**
   * Reads a blob and compares its hash.
   *
   * @throws {StoreError} `missing`, `corrupt`, `io`
   */
  async verifyBlob(hash: Hash): Promise<void> {
    const running = startHash()
    for await (const chunk of this.readFile(hash)) running.update(chunk)
    if (running.digest() !== hash) throw new StoreError('corrupt', `Blob ${hash} has other contents`, { hash })
  }

  /**
   * A blob's bytes, in chunks of at most 256 KiB, each read when it is asked for.
   *
   * @param range where to begin and how many bytes; by default all. What is beyond the end is left out.
   * @throws {StoreError} `missing`, `corrupt` (another size; contents of files are not hashed here), `io`
   */
  async *readFile(hash: Hash, range: { offset?: number; length?: number } = {}): AsyncGenerator<Buffer> {
    const blob = this.blobSync(checkHash(hash))
    const offset = Math.min(range.offset ?? 0, blob.size)
    const end = Math.min(offset + (range.length ?? Number.POSITIVE_INFINITY), blob.size)
    if ('inline' in blob) {
      if (end > offset) yield blob.inline.subarray(offset, end)
      return
    }
    const failed = (error: unknown) => asStoreError(error, 'reading a blob', { hash })
    const handle = await open(blob.path, 'r').catch((error: unknown) => Promise.reject(failed(error)))
    try {
      for (let at = offset; at < end; ) {
        const wanted = Math.min(READ_BYTES, end - at)
        const { bytesRead, buffer } = await handle
          .read(Buffer.allocUnsafe(wanted), 0, wanted, at)
          .catch((error: unknown) => Promise.reject(failed(error)))
        if (bytesRead === 0) throw new StoreError('corrupt', `The file of blob ${hash} is too short`, { hash })
        at += bytesRead
        yield buffer.subarray(0, bytesRead)
      }
    } finally {
      await handle.close()
    }
  }

  /**
   * Keeps roots under names, in place of those that had them; all or none.
   *
   * @throws {StoreError} `missing`: no such root; `invalid`: an empty name or one over 512 bytes
   */
  async setRoots(roots: readonly (readonly [name: string, hash: Hash])[]): Promise<void> {
    for (const [name, hash] of roots) {
      checkRootName(name)
      this.rootSync(checkHash(hash))
    }
    await this.#write(roots.map(([name, hash]) => ({ key: nameKey(KIND_NAME, name), value: Buffer.from(hash, 'hex') })))
  }

  /** A name that is not there is no error. */
  async deleteRoot(...names: readonly string[]): Promise<void> {
    for (const name of names) checkRootName(name)
    // Not held back by a full disk: deleting is how room is made.
    await this.database.write(names.map((name) => ({ key: nameKey(KIND_NAME, name), value: null })))
  }

  async getRoot(name: string): Promise<Hash | undefined> {
    checkRootName(name)
    return (await this.database.get(nameKey(KIND_NAME, name)))?.toString('hex')
  }

  /** Every named root, by the bytes of the names: what a collector keeps. */
  async *roots(): AsyncGenerator<{ name: string; hash: Hash }> {
    for await (const [key, value] of this.database.entries(KIND_NAME)) {
      yield { name: key.toString('utf8', 1), hash: value.toString('hex') }
    }
  }

  /** Waits for the blobs on their way, then closes. */
  override async [Symbol.asyncDispose](): Promise<void> {
    await this.#files.settled()
    await super[Symbol.asyncDispose]()
  }

  async #putInline(blobs: readonly { hash: Hash; data: Buffer }[]): Promise<void> {
    await this.#write(
      blobs.flatMap(({ hash, data }) => [
        { key: hashKey(KIND_CONTENTS, hash), value: data },
        blobRecord(hash, data.length),
      ]),
    )
  }

  async #write(changes: readonly Change[]): Promise<void> {
    const bytes = changes.reduce((sum, { key, value }) => sum + key.length + (value?.length ?? 0), 0)
    // Twice: once for the log, once for the table it becomes.
    await checkFreeSpace(this.dir, 2 * bytes, this.#minFreeBytes)
    await this.database.write(changes)
  }
}

const FORMAT = 1
const READ_BYTES = 256 * 1024

async function checkFormat(database: Database): Promise<void> {
  const key = nameKey(KIND_STORE, 'format')
  const found = await database.get(key)
  if (found === undefined) return database.write([{ key, value: Buffer.of(FORMAT) }])
  if (found.length === 1 && found[0] === FORMAT) return
  const versions = `format ${found[0]}, this version knows ${FORMAT}`
  throw new StoreError('format', `The store was made by another version of Croft (${versions}); use that version`)
}

function checkDeclaration(declared: DeclaredBlob): void {
  if (declared.hash !== undefined) checkHash(declared.hash)
  if (declared.size === undefined) return
  if (!Number.isSafeInteger(declared.size) || declared.size < 0) {
    throw new StoreError('invalid', 'The size of a blob is a whole number from 0')
  }
  if (declared.size > MAX_BLOB_BYTES) throw new StoreError('limit', `A blob of more than ${MAX_BLOB_BYTES} bytes`)
}

function checkRootName(name: string): void {
  const bytes = Buffer.byteLength(name, 'utf8')
  if (bytes < 1 || bytes > MAX_ROOT_NAME_BYTES) {
    throw new StoreError('invalid', `The name of a root has 1 to ${MAX_ROOT_NAME_BYTES} bytes`)
  }
}

function asyncIterator(source: AsyncIterable<Buffer> | Iterable<Buffer>): AsyncIterator<Buffer> | Iterator<Buffer> {
  return Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
}

async function* followedBy(
  head: readonly Buffer[],
  rest: AsyncIterator<Buffer> | Iterator<Buffer>,
): AsyncGenerator<Buffer> {
  yield* head
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value
}
