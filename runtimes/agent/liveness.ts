export interface LivenessOptions {
  /** How long the agent may say nothing at all after it was asked something. */
  readonly answerMaxMs: number
  /** How long it may say nothing at all when nobody asks it anything but whether it is there. */
  readonly silenceMaxMs: number
}

export interface LivenessDependencies {
  /** Asks it whether it is there. */
  readonly ping: () => void
  /** Called once; it has been silent for too long. */
  readonly onSilent: (message: string) => void
}

/** Pings in the time that an agent may be silent. */
const PINGS_IN_SILENCE = 4

/**
 * Whether the agent still speaks. Any frame counts: what it says is judged elsewhere. It is pinged before it is
 * judged, so an agent that has nothing to say, since a program starts slowly, is not one that does not answer.
 */
export class Liveness implements Disposable {
  readonly #options: LivenessOptions
  readonly #dependencies: LivenessDependencies
  readonly #idle: NodeJS.Timeout
  #heardAtMs = performance.now()
  /** Since it was heard last: nobody is judged who was not asked whether he is there. */
  #pingedAtMs: number | undefined
  #askedAtMs: number | undefined
  #question: NodeJS.Timeout | undefined
  #over = false

  constructor(options: LivenessOptions, dependencies: LivenessDependencies) {
    this.#options = options
    this.#dependencies = dependencies
    this.#idle = setInterval(() => this.#checkIdle(), options.silenceMaxMs / PINGS_IN_SILENCE)
    this.#idle.unref()
  }

  heard(): void {
    this.#heardAtMs = performance.now()
    this.#askedAtMs = undefined
    this.#pingedAtMs = undefined
  }

  asked(): void {
    if (this.#over || this.#askedAtMs !== undefined) return
    this.#askedAtMs = performance.now()
    this.#question ??= this.#later(this.#options.answerMaxMs / 2)
  }

  [Symbol.dispose](): void {
    this.#over = true
    clearInterval(this.#idle)
    clearTimeout(this.#question)
  }

  #later(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#checkQuestion(), ms).unref()
  }

  #checkQuestion(): void {
    this.#question = undefined
    const askedAtMs = this.#askedAtMs
    if (this.#over || askedAtMs === undefined) return
    const { answerMaxMs } = this.#options
    if (this.#pingedAtMs === undefined) this.#ping()
    // This process may have been held up itself: then the ping went out late, and has half of the time all the same.
    const pingDueMs = (this.#pingedAtMs ?? 0) + answerMaxMs / 2
    const leftMs = Math.max(askedAtMs + answerMaxMs, pingDueMs) - performance.now()
    if (leftMs > 0) {
      this.#question = this.#later(leftMs)
      return
    }
    this.#judge(() => this.#askedAtMs === askedAtMs, `it did not answer within ${answerMaxMs / 1000} s`)
  }

  #checkIdle(): void {
    const { silenceMaxMs } = this.#options
    const isSilent = () => performance.now() - this.#heardAtMs >= silenceMaxMs
    if (isSilent() && this.#pingedAtMs !== undefined) {
      this.#judge(isSilent, `it has been silent for ${silenceMaxMs / 1000} s`)
    } else {
      this.#ping()
    }
  }

  #ping(): void {
    this.#pingedAtMs ??= performance.now()
    this.#dependencies.ping()
  }

  /** Where we were the ones that did not come to it, its answer is in the socket: sockets are read before this. */
  #judge(isSilent: () => boolean, message: string): void {
    setImmediate(() => {
      if (!this.#over && isSilent()) this.#dependencies.onSilent(message)
    })
  }
}
