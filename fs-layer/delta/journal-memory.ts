import { JOURNAL_PIECE_BYTES, JOURNAL_SPARE_PIECES_MAX } from './limits.ts'

/**
 * Memory for the journals of a thread, used again by whichever needs it: new memory costs more, by the faults of its
 * pages, than what is written to it.
 */
export class JournalMemory {
  readonly #spare: SharedArrayBuffer[] = []

  take(): SharedArrayBuffer {
    return this.#spare.pop() ?? new SharedArrayBuffer(JOURNAL_PIECE_BYTES)
  }

  /** Nobody is told of it any more. */
  give(memory: SharedArrayBuffer): void {
    if (this.#spare.length < JOURNAL_SPARE_PIECES_MAX) this.#spare.push(memory)
  }
}
