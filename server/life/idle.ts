export interface IdleOptions {
  readonly idleExitMs: number
  /** Whether somebody is connected or something runs. */
  readonly isBusy: () => boolean
  readonly nowMs: () => number
  readonly onIdle: () => void
}

/** Notices when for a while nobody has needed the server. `check` is called again and again. */
export class Idle {
  readonly #options: IdleOptions
  #busyAtMs: number

  constructor(options: IdleOptions) {
    this.#options = options
    this.#busyAtMs = options.nowMs()
  }

  check(): void {
    const { isBusy, nowMs, idleExitMs, onIdle } = this.#options
    const now = nowMs()
    if (isBusy()) this.#busyAtMs = now
    else if (now - this.#busyAtMs >= idleExitMs) onIdle()
  }
}
