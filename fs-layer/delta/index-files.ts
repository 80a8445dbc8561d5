import { readdirSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/**
 * Makes durable what LevelDB leaves out. With a synced batch it syncs the log that the batch went to, but not the one
 * before, which was full and may have earlier batches that were not synced, until it is a table some time later; and it
 * syncs no names but that of a new manifest.
 */
export class IndexFiles {
  readonly #index: string
  #newestLog = ''

  /** `dir` is the delta's. */
  constructor(dir: string) {
    this.#index = join(dir, 'index')
  }

  /** After a synced batch: all batches before it are on the disk when it resolves, and found there. */
  async sync(): Promise<void> {
    const logs = readdirSync(this.#index).filter((name) => name.endsWith('.log'))
    const newest = logs.reduce((one, other) => (numberOf(other) > numberOf(one) ? other : one), '0')
    for (const log of logs) if (log !== newest) await this.#syncOlder(log)
    if (newest === this.#newestLog) return
    await syncDirectory(this.#index)
    // Once: when this one has no log yet, its directories may be new too.
    if (this.#newestLog === '')
      for (const at of [dirname(this.#index), dirname(dirname(this.#index))]) await syncDirectory(at)
    this.#newestLog = newest
  }

  async #syncOlder(log: string): Promise<void> {
    try {
      const file = await open(join(this.#index, log), 'r')
      try {
        await file.datasync()
      } finally {
        await file.close()
      }
    } catch (error) {
      // It has become a table, which LevelDB syncs before it removes the log.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
}

function numberOf(log: string): number {
  return Number.parseInt(log, 10)
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
