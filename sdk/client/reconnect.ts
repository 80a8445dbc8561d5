import { setTimeout as delay } from 'node:timers/promises'
import { throwIfAborted } from '../abort.ts'
import { ServerUnreachableError } from '../errors.ts'

export const RECONNECT_MS = 30_000
const FIRST_DELAY_MS = 50
const LONGEST_DELAY_MS = 2_000

/** For streams that can go on from a cursor: for how long, and how often, a server that is gone is looked for. */
export class Reconnect {
  readonly #maxMs: number
  #lost: { readonly sinceMs: number; delayMs: number } | undefined

  constructor(maxMs: number) {
    this.#maxMs = maxMs
  }

  /** The server has spoken. */
  found(): void {
    this.#lost = undefined
  }

  /** Throws an error that says no more than that the server is gone once that has lasted too long; any other at once. */
  check(error: unknown): void {
    if (!(error instanceof ServerUnreachableError)) throw error
    if (this.#lost !== undefined && performance.now() - this.#lost.sinceMs >= this.#maxMs) throw error
  }

  /** Each time longer than the last. Rejects with an `AbortedError` when the signal fires. */
  async pause(signal: AbortSignal | undefined): Promise<void> {
    this.#lost ??= { sinceMs: performance.now(), delayMs: FIRST_DELAY_MS }
    const { delayMs } = this.#lost
    this.#lost.delayMs = Math.min(delayMs * 2, LONGEST_DELAY_MS)
    await delay(delayMs, undefined, signal === undefined ? {} : { signal }).catch(() => throwIfAborted(signal))
  }
}
