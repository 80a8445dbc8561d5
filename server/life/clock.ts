import type { Logger } from '../observability/log.ts'

export interface Chore {
  readonly name: string
  run(): Promise<void>
}

/** How late an expiry may be noticed. */
const TICK_MS = 1000

/** One clock for all that happens by itself after a time. A chore that still runs is not started again. */
export class Clock implements Disposable {
  readonly #timer: NodeJS.Timeout
  readonly #running = new Set<Chore>()

  constructor(chores: readonly Chore[], log: Logger) {
    this.#timer = setInterval(() => {
      for (const chore of chores) if (!this.#running.has(chore)) void this.#run(chore, log)
    }, TICK_MS)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  async #run(chore: Chore, log: Logger): Promise<void> {
    this.#running.add(chore)
    try {
      await chore.run()
    } catch (err) {
      log.error({ err, chore: chore.name }, 'a chore failed')
    } finally {
      this.#running.delete(chore)
    }
  }
}
