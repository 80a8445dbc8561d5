import { statfsSync } from 'node:fs'
import { ENOSPC } from '../protocol/errno.ts'

/** Asked again after so many bytes, or when it is tight: others fill the disk too. */
const MEASURE_EVERY_BYTES = 1 << 20

/**
 * The room on the disk of a delta. It is called full while LevelDB can still write: a record of its log that is
 * cut off by a full disk hides the acknowledged ones after it from the next recovery.
 */
export class Room {
  readonly #dir: string
  readonly #reserveBytes: number
  #leftBytes = 0
  #sinceBytes = MEASURE_EVERY_BYTES

  /** `dir` exists. */
  constructor(options: { dir: string; reserveBytes: number }) {
    this.#dir = options.dir
    this.#reserveBytes = options.reserveBytes
  }

  /** Throws ENOSPC where `bytes` more would leave less than the reserve. */
  take(bytes: number): void {
    this.#sinceBytes += bytes
    this.#leftBytes -= bytes
    if (this.#sinceBytes < MEASURE_EVERY_BYTES && this.#leftBytes >= this.#reserveBytes) return
    const { bavail, bsize } = statfsSync(this.#dir)
    this.#leftBytes = bavail * bsize - bytes
    this.#sinceBytes = 0
    if (this.#leftBytes < this.#reserveBytes) throw ENOSPC
  }
}
