export interface FlushTimersOptions {
  /** Gathered changes are written after this long. */
  readonly flushAfterMs: number
  /** … or when there are so many. */
  readonly flushAtRecords: number
  /** What waits for changes to be durable waits so long at most. */
  readonly settleAfterMs: number
}

/** When a delta writes by itself. */
export class FlushTimers implements Disposable {
  readonly #options: FlushTimersOptions
  readonly #flush: (durable: boolean) => void
  /** All that there were. */
  changes = 0
  #waiting = 0
  #timer: NodeJS.Timeout | null = null
  #settling: NodeJS.Timeout | null = null

  constructor(options: FlushTimersOptions, flush: (durable: boolean) => void) {
    this.#options = options
    this.#flush = flush
  }

  changed(): void {
    this.changes++
    this.#waiting++
    if (this.#waiting >= this.#options.flushAtRecords) {
      this.#waiting = 0
      this.#flush(false)
      return
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      this.#flush(false)
    }, this.#options.flushAfterMs)
  }

  /** All changes so far are on their way. */
  taken(): void {
    this.#waiting = 0
  }

  /** Somebody waits until they are durable, and has time. */
  settle(): void {
    this.#settling ??= setTimeout(() => {
      this.#settling = null
      this.#flush(true)
    }, this.#options.settleAfterMs)
  }

  [Symbol.dispose](): void {
    for (const timer of [this.#timer, this.#settling]) if (timer !== null) clearTimeout(timer)
  }
}
