export interface WindowsOptions {
  readonly windowMs: number
  /** Names that are remembered at one time. */
  readonly maxNames: number
}

interface Window {
  readonly sinceMs: number
  count: number
}

/** How often something came to pass under a name, in a window of time that begins with the first. */
export class Windows {
  readonly #options: WindowsOptions
  readonly #nowMs: () => number
  /** In the order in which they began. */
  readonly #windows = new Map<string, Window>()

  constructor(options: WindowsOptions, { nowMs }: { nowMs: () => number }) {
    this.#options = options
    this.#nowMs = nowMs
  }

  /** Milliseconds until it is not `most` times any more; 0: it is fewer now. */
  waitMs(name: string, most: number): number {
    const window = this.#windows.get(name)
    if (window === undefined || window.count < most) return 0
    return Math.max(0, window.sinceMs + this.#options.windowMs - this.#nowMs())
  }

  note(name: string): void {
    const now = this.#nowMs()
    const window = this.#windows.get(name)
    if (window !== undefined && now < window.sinceMs + this.#options.windowMs) {
      window.count += 1
      return
    }
    this.#windows.delete(name)
    const [oldest] = this.#windows.keys()
    if (oldest !== undefined && this.#windows.size >= this.#options.maxNames) this.#windows.delete(oldest)
    this.#windows.set(name, { sinceMs: now, count: 1 })
  }
}
