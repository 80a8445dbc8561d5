import { closeSync, openSync, readSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { Database, KIND_BLOB, KIND_CONTENTS, KIND_ROOT, KIND_TREE } from './database.ts'
import { hashBytes, startHash } from './hash.ts'
import { readUint64 } from './int64.ts'
import { DEFAULT_BLOB_CACHE_BYTES, DEFAULT_TREE_CACHE_BYTES, MAX_INLINE_BYTES } from './limits.ts'
import { Lru } from './lru.ts'
import type { Hash, Root, Tree } from './objects.ts'
import { decodeRoot } from './root.ts'
import { codeOf, StoreError } from './store-error.ts'
import { decodeTree } from './tree.ts'

export interface ReaderOptions {
  /** The store's directory. */
  readonly dir: string
  /** Decoded trees and roots to remember, bytes as estimated. Default 64 MiB. */
  readonly treeCacheBytes?: number
  /** Contents of small blobs to remember. Default 32 MiB. */
  readonly blobCacheBytes?: number
}

/** Where a blob's bytes are: at hand (not to be changed), or in a file that nobody writes to any more. */
export type BlobLocation =
  | { readonly inline: Buffer; readonly size: number }
  | { readonly path: string; readonly size: number }

/**
 * Reads objects at once, for a thread that has nothing better to do than to wait for them: what is not
 * remembered costs a LevelDB lookup and a SHA-256. Whatever comes from the database is verified the first time
 * and remembered as good; a blob's file is verified by its size.
 */
export class StoreReader implements AsyncDisposable {
  protected readonly database: Database
  readonly dir: string
  readonly #trees: Lru<Tree>
  readonly #roots: Lru<Root>
  readonly #blobs: Lru<BlobLocation>

  protected constructor(options: ReaderOptions, { database }: { database: Database }) {
    this.database = database
    this.dir = options.dir
    this.#trees = new Lru(options.treeCacheBytes ?? DEFAULT_TREE_CACHE_BYTES)
    this.#roots = new Lru(ROOT_CACHE_BYTES)
    this.#blobs = new Lru(options.blobCacheBytes ?? DEFAULT_BLOB_CACHE_BYTES)
  }

  /** For a further thread of the process that has the store open as a `Store`. */
  static async open(options: ReaderOptions): Promise<StoreReader> {
    return new StoreReader(options, { database: await Database.open(databaseDir(options.dir)) })
  }

  /** @throws {StoreError} `missing`, `corrupt`, `io` */
  treeSync(hash: Hash): Tree {
    const known = this.#trees.get(hash)
    if (known !== undefined) return known
    const bytes = this.#verified(KIND_TREE, hash, 'tree')
    const tree = decodeTree(bytes)
    this.#trees.add(hash, tree, bytes.length + tree.entries.length * DECODED_ENTRY_BYTES)
    return tree
  }

  /** @throws {StoreError} `missing`, `corrupt`, `io` */
  rootSync(hash: Hash): Root {
    const known = this.#roots.get(hash)
    if (known !== undefined) return known
    const root = decodeRoot(this.#verified(KIND_ROOT, hash, 'root'))
    this.#roots.add(hash, root, DECODED_ENTRY_BYTES)
    return root
  }

  /** @throws {StoreError} `missing`, `corrupt`, `io` */
  blobSync(hash: Hash): BlobLocation {
    const known = this.#blobs.get(hash)
    if (known !== undefined) return known
    const inline = this.database.getSync(KIND_CONTENTS, hash)
    if (inline === undefined) return this.#fileLocation(hash)
    if (hashBytes(inline) !== hash) throw new StoreError('corrupt', `Blob ${hash} has other contents`, { hash })
    const location = { inline, size: inline.length }
    this.#blobs.add(hash, location, inline.length + DECODED_ENTRY_BYTES)
    return location
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.database[Symbol.asyncDispose]()
  }

  #verified(kind: number, hash: Hash, what: string): Buffer {
    const bytes = this.database.getSync(kind, hash)
    if (bytes === undefined) throw new StoreError('missing', `The store has no ${what} ${hash}`, { hash })
    if (hashBytes(bytes) !== hash) throw new StoreError('corrupt', `The ${what} ${hash} has other contents`, { hash })
    return bytes
  }

  #fileLocation(hash: Hash): BlobLocation {
    const record = this.database.getSync(KIND_BLOB, hash)
    if (record === undefined) throw new StoreError('missing', `The store has no blob ${hash}`, { hash })
    const size = readSizeRecord(record, hash)
    if (size <= MAX_INLINE_BYTES) throw new StoreError('corrupt', `The contents of blob ${hash} are gone`, { hash })
    const path = blobPath(this.dir, hash)
    const found = statOf(path, hash)
    if (found.size !== size) {
      throw new StoreError('corrupt', `The file of blob ${hash} has ${found.size} bytes instead of ${size}`, { hash })
    }
    if (found.mtimeMs !== BLOB_MTIME * 1000) verifyFile(path, hash)
    const location = { path, size }
    this.#blobs.add(hash, location, DECODED_ENTRY_BYTES)
    return location
  }
}

export function databaseDir(storeDir: string): string {
  return join(storeDir, 'index')
}

export function blobPath(storeDir: string, hash: Hash): string {
  return join(storeDir, 'blobs', hash.slice(0, 2), hash.slice(2))
}

/**
 * The modification time of a blob's file, in seconds since 1970. Whoever writes to a file later changes it, so one with
 * another time is hashed before it is believed, and has this one then.
 */
export const BLOB_MTIME = 1

export function readSizeRecord(record: Buffer, hash: Hash): number {
  if (record.length !== 8) throw new StoreError('corrupt', `The record of blob ${hash} is damaged`, { hash })
  return readUint64(record, 0)
}

const VERIFY_BYTES = 1024 * 1024
const ROOT_CACHE_BYTES = 1024 * 1024
// Measured: an entry of 75 bytes takes 242 when decoded.
const DECODED_ENTRY_BYTES = 167

function statOf(path: string, hash: Hash): { size: number; mtimeMs: number } {
  try {
    return statSync(path)
  } catch (error) {
    throw fileError(error, hash)
  }
}

function verifyFile(path: string, hash: Hash): void {
  const running = startHash()
  const chunk = Buffer.allocUnsafe(VERIFY_BYTES)
  try {
    const fd = openSync(path, 'r')
    try {
      for (let got = readSync(fd, chunk); got > 0; got = readSync(fd, chunk)) running.update(chunk.subarray(0, got))
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    throw fileError(error, hash)
  }
  if (running.digest() !== hash) {
    throw new StoreError('corrupt', `The file of blob ${hash} has other contents than were stored`, { hash })
  }
  noteVerified(path)
}

/** Where that cannot be written, the file is hashed again the next time. */
function noteVerified(path: string): void {
  try {
    utimesSync(path, BLOB_MTIME, BLOB_MTIME)
  } catch (error) {
    if (!['EROFS', 'EPERM', 'EACCES'].includes(codeOf(error) ?? '')) throw error
  }
}

function fileError(error: unknown, hash: Hash): StoreError {
  if (codeOf(error) === 'ENOENT') {
    return new StoreError('corrupt', `The file of blob ${hash} is gone`, { hash, cause: error })
  }
  return new StoreError('io', `The file of blob ${hash} cannot be read`, { hash, cause: error })
}
