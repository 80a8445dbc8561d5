import { randomInt } from 'node:crypto'
import { CroftError } from '../errors/croft-error.ts'

export interface UidRange {
  readonly first: number
  /** Inclusive. */
  readonly last: number
}

/**
 * Gives each running sandbox a host user of its own, so that even outside of their namespaces two of them have
 * no rights over one another. Taken at random from the range: two servers on one host then rarely meet, and a
 * user that was just given back is rarely the next one.
 */
export class HostUids {
  readonly #range: UidRange
  readonly #taken = new Set<number>()

  constructor(range: UidRange) {
    this.#range = range
  }

  /** Throws RESOURCE_EXHAUSTED when none is left. */
  take(): number {
    const { first, last } = this.#range
    const size = last - first + 1
    if (this.#taken.size >= size) {
      throw new CroftError('RESOURCE_EXHAUSTED', `all ${size} host users for sandboxes are in use`)
    }
    const start = randomInt(size)
    for (let step = 0; ; step++) {
      const uid = first + ((start + step) % size)
      if (!this.#taken.has(uid)) {
        this.#taken.add(uid)
        return uid
      }
    }
  }

  give(uid: number): void {
    this.#taken.delete(uid)
  }
}
