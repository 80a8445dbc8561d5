/** Runs what has the same key one after another, in the order of the calls; different keys run side by side. */
export class Serial {
  readonly #last = new Map<string, Promise<unknown>>()
  #pending = 0

  /** What runs, and what waits. */
  get pending(): number {
    return this.#pending
  }

  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    this.#pending += 1
    const before = this.#last.get(key)
    const result = before === undefined ? work() : before.then(work, work)
    // What waits for it must not be told of its failure: that belongs to whoever asked for it.
    const settled: Promise<void> = result.then(
      () => this.#done(key, settled),
      () => this.#done(key, settled),
    )
    this.#last.set(key, settled)
    return result
  }

  /** Resolves when nothing that was begun or queued before is left. */
  async idle(): Promise<void> {
    await Promise.all(this.#last.values())
  }

  #done(key: string, settled: Promise<unknown>): void {
    this.#pending -= 1
    if (this.#last.get(key) === settled) this.#last.delete(key)
  }
}
