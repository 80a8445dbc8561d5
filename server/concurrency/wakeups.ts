/** Those who wait for the next time that something happens. Who gives up leaves nothing behind. */
export class Wakeups {
  readonly #waiting = new Set<() => void>()

  wake(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const resolve of waiting) resolve()
  }

  /** Rejects with the signal's reason when that fires first. */
  next(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const woken = () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }
      const onAbort = () => {
        this.#waiting.delete(woken)
        reject(signal.reason)
      }
      if (signal.aborted) {
        reject(signal.reason)
        return
      }
      this.#waiting.add(woken)
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }
}
