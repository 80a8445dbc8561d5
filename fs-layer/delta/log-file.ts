import { randomBytes } from 'node:crypto'
import { closeSync, constants, openSync, rmSync, write } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CHUNK_BYTES } from './limits.ts'
import { encodeHeader, encodeRecord, LOG_BLOCK_BYTES, recordBytes, SALT_BYTES } from './log-record.ts'
import type { Operation } from './operations.ts'
import type { Room } from './room.ts'

const { O_DSYNC, O_WRONLY } = constants

export function logPath(deltaDir: string): string {
  return join(deltaDir, 'log')
}

/**
 * The file that a sync writes to: its blocks have been written before, so a write changes no metadata of the disk's
 * filesystem, and one call makes it durable. Owns its descriptor.
 */
export class LogFile {
  readonly #fd: number
  readonly #path: string
  readonly #salt: Buffer
  readonly #bytes: number
  /** Where the next record goes, and the batch that it follows. */
  #at: number
  #last = 0

  private constructor(fd: number, { path, salt, bytes }: { path: string; salt: Buffer; bytes: number }) {
    this.#fd = fd
    this.#path = path
    this.#salt = salt
    this.#bytes = bytes
    this.#at = bytes
  }

  /**
   * Makes it, or takes the one that is there for its blocks: whatever that holds is gone then. It is on the disk, with
   * its name, when this resolves. Rejects with ENOSPC and the like, and leaves no part of one behind.
   */
  static async make(deltaDir: string, bytes: number, room: Room): Promise<LogFile> {
    const path = logPath(deltaDir)
    const salt = randomBytes(SALT_BYTES)
    const header = encodeHeader(salt, bytes)
    if (!(await renewed(path, header, bytes))) {
      room.take(bytes)
      await writeNew(path, header, bytes)
    }
    // With O_DSYNC a write is durable when it returns: one turn of another thread, not two.
    return new LogFile(openSync(path, O_WRONLY | O_DSYNC), { path, salt, bytes })
  }

  /** What a delta's records name it by. */
  get name(): string {
    return this.#salt.toString('hex')
  }

  /** All that is in it is durable elsewhere by `batch`: it is empty, and the next record follows that batch. */
  restart(batch: number): void {
    this.#at = LOG_BLOCK_BYTES
    this.#last = batch
  }

  /** Null: it does not fit. After a failure nothing more may be appended: what the disk has then nobody knows. */
  append(batch: number, operations: readonly Operation[]): Promise<void> | null {
    if (this.#at + recordBytes(operations) > this.#bytes) return null
    const record = encodeRecord({ before: this.#last, batch, operations }, this.#salt)
    const at = this.#at
    this.#at += record.length
    this.#last = batch
    return this.#write(record, at)
  }

  close(): void {
    closeSync(this.#fd)
  }

  /** Nothing that it has is wanted any more, and it is closed. */
  remove(): void {
    rmSync(this.#path, { force: true })
  }

  #write(record: Buffer, at: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const next = (done: number) => {
        write(this.#fd, record, done, record.length - done, at + done, (error, written) => {
          if (error !== null) reject(error)
          else if (done + written < record.length) next(done + written)
          else resolve()
        })
      }
      next(0)
    })
  }
}

/** False: there is none of this size. */
async function renewed(path: string, header: Buffer, bytes: number): Promise<boolean> {
  try {
    await using file = await open(path, 'r+')
    if ((await file.stat()).size !== bytes) return false
    await file.write(header, 0, header.length, 0)
    await file.datasync()
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

/** Under another name until all of it is on the disk: what has the name is whole. */
async function writeNew(path: string, header: Buffer, bytes: number): Promise<void> {
  const partial = `${path}.new`
  try {
    {
      await using file = await open(partial, 'w', 0o600)
      await file.write(header, 0, header.length, 0)
      const zeros = Buffer.alloc(Math.min(CHUNK_BYTES, bytes))
      for (let at = header.length; at < bytes; ) {
        at += (await file.write(zeros, 0, Math.min(zeros.length, bytes - at), at)).bytesWritten
      }
      await file.sync()
    }
    await rename(partial, path)
    await using directory = await open(dirname(path), 'r')
    await directory.sync()
  } catch (error) {
    await rm(partial, { force: true })
    throw error
  }
}
