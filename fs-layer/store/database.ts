import { mkdir, readdir, realpath } from 'node:fs/promises'
import { Level } from 'level'
import { checkFreeSpace } from './free-space.ts'
import type { Hash } from './objects.ts'
import { asStoreError, codeOf, StoreError } from './store-error.ts'

/**
 * The store's LevelDB. A key is one byte of kind and then a hash's 32 bytes or a name. Threads of one process
 * may each have it open; LevelDB itself makes them share it.
 *
 * LevelDB's log after a failed write: a record cut off by a full disk stays in the log file, and what is
 * appended behind it in the same block is dropped at the next recovery, though it was acknowledged. So after
 * any failed write nothing more is written until LevelDB has changed to a new log file.
 */
export class Database implements AsyncDisposable {
  readonly #level: Level<Buffer, Buffer>
  readonly #dir: string
  // One buffer for the keys of all synchronous reads: none of them outlives its call.
  readonly #hashKey = Buffer.alloc(33)
  #logToLeave: string | null = null

  private constructor(level: Level<Buffer, Buffer>, dir: string) {
    this.#level = level
    this.#dir = dir
  }

  /** @throws {StoreError} `locked`, `full`, `corrupt`, `io` */
  static async open(dir: string): Promise<Database> {
    try {
      await mkdir(dir, { recursive: true })
      // The threads find each other's handle by the path as it is written.
      const path = await realpath(dir)
      const level = new Level<Buffer, Buffer>(path, {
        keyEncoding: 'buffer',
        valueEncoding: 'buffer',
        multithreading: true,
        // Contents of small files are read once and then kept by the kernel: memory is better spent there.
        cacheSize: 8 * 1024 * 1024,
        writeBufferSize: WRITE_BUFFER_BYTES,
        // Well below the limit of descriptors, of which blob files need the most.
        maxOpenFiles: 500,
      } as ConstructorParameters<typeof Level<Buffer, Buffer>>[1])
      await level.open()
      return new Database(level, path)
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined
      if (codeOf(cause) === 'LEVEL_LOCKED') {
        const remedy = 'stop that one, or use another directory'
        throw new StoreError('locked', `The store ${dir} is open in another process; ${remedy}`, { cause: error })
      }
      throw asStoreError(cause ?? error, `opening the database ${dir}`)
    }
  }

  getSync(kind: number, hash: Hash): Buffer | undefined {
    this.#hashKey[0] = kind
    if (this.#hashKey.write(hash, 1, 32, 'hex') !== 32) throw new StoreError('invalid', `Not a hash: ${hash}`)
    try {
      return this.#level.getSync(this.#hashKey)
    } catch (error) {
      throw asStoreError(error, 'reading from the database', { hash })
    }
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    try {
      return await this.#level.get(key)
    } catch (error) {
      throw asStoreError(error, 'reading from the database')
    }
  }

  async getMany(keys: Buffer[]): Promise<(Buffer | undefined)[]> {
    try {
      return await this.#level.getMany(keys)
    } catch (error) {
      throw asStoreError(error, 'reading from the database')
    }
  }

  /** In the order of the bytes of the keys. */
  async *entries(kind: number): AsyncGenerator<[Buffer, Buffer]> {
    try {
      yield* this.#level.iterator({ gte: Buffer.of(kind), lt: Buffer.of(kind + 1) })
    } catch (error) {
      throw asStoreError(error, 'reading from the database')
    }
  }

  /** All or nothing, and on the disk when it resolves. */
  async write(changes: readonly Change[]): Promise<void> {
    if (changes.length === 0) return
    await this.#leaveBrokenLog()
    try {
      const batch = changes.map(({ key, value }) =>
        value === null ? ({ type: 'del', key } as const) : ({ type: 'put', key, value } as const),
      )
      await this.#level.batch(batch, { sync: true } as object)
    } catch (error) {
      this.#logToLeave ??= await this.#newestLog()
      throw asStoreError(error, 'writing to the database')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#level.close()
  }

  async #leaveBrokenLog(): Promise<void> {
    if (this.#logToLeave === null) return
    // Tried without room for a whole table it would fail, and LevelDB then takes no writes until it is reopened.
    await checkFreeSpace(this.#dir, 2 * WRITE_BUFFER_BYTES, 0)
    // A compaction starts with a new log file and puts what the old one holds into a table, for good.
    const nothing = Buffer.of(0)
    await (this.#level as unknown as Compacts).compactRange(nothing, nothing)
    if ((await this.#newestLog()) === this.#logToLeave) {
      const message = 'The disk of the store was full and the database has stopped; make room and start again'
      throw new StoreError('full', message)
    }
    this.#logToLeave = null
  }

  async #newestLog(): Promise<string> {
    const logs = (await readdir(this.#dir)).filter((name) => /^\d+\.log$/.test(name))
    return logs.sort().at(-1) ?? ''
  }
}

/** `null` deletes. */
export interface Change {
  readonly key: Buffer
  readonly value: Buffer | null
}

export const KIND_TREE = 0x74
export const KIND_ROOT = 0x72
/** A small blob's bytes. */
export const KIND_CONTENTS = 0x63
/** A blob's size, u64 little-endian: there for each blob, so that asking for many touches no contents. */
export const KIND_BLOB = 0x62
/** A root's name; the value is its hash. */
export const KIND_NAME = 0x6e
/** The store's own record. */
export const KIND_STORE = 0x73

export function hashKey(kind: number, hash: Hash): Buffer {
  const key = Buffer.allocUnsafe(33)
  key[0] = kind
  key.write(hash, 1, 32, 'hex')
  return key
}

export function nameKey(kind: number, name: string): Buffer {
  return Buffer.concat([Buffer.of(kind), Buffer.from(name, 'utf8')])
}

const WRITE_BUFFER_BYTES = 8 * 1024 * 1024

// An ability of the LevelDB binding that the type of `level`, made for browsers too, does not have.
interface Compacts {
  compactRange(start: Buffer, end: Buffer): Promise<void>
}
