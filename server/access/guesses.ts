export interface GuessesOptions {
  readonly most: number
  readonly windowMs: number
  /** Names that are remembered at one time. */
  readonly maxNames: number
}

interface Guesser {
  readonly sinceMs: number
  count: number
}

/** Counts wrong tokens, by who sent them and which token they were meant to be. */
export class Guesses {
  readonly #options: GuessesOptions
  readonly #nowMs: () => number
  /** In the order in which their windows began. */
  readonly #names = new Map<string, Guesser>()

  constructor(options: GuessesOptions, { nowMs }: { nowMs: () => number }) {
    this.#options = options
    this.#nowMs = nowMs
  }

  /** Milliseconds until it may try again; 0: now. */
  waitMs(name: string): number {
    const guesser = this.#names.get(name)
    if (guesser === undefined || guesser.count < this.#options.most) return 0
    return Math.max(0, guesser.sinceMs + this.#options.windowMs - this.#nowMs())
  }

  note(name: string): void {
    const now = this.#nowMs()
    const guesser = this.#names.get(name)
    if (guesser !== undefined && now < guesser.sinceMs + this.#options.windowMs) {
      guesser.count += 1
      return
    }
    this.#names.delete(name)
    const [oldest] = this.#names.keys()
    if (oldest !== undefined && this.#names.size >= this.#options.maxNames) this.#names.delete(oldest)
    this.#names.set(name, { sinceMs: now, count: 1 })
  }
}
