/** Prints what each step shows and how long it took. */
export class Steps {
  readonly #beganMs = performance.now()
  #count = 0
  #failures = 0

  /** `work` resolves with a line, or with a value and a line. The first failure ends the demo. */
  async run<T>(shows: string, work: () => Promise<readonly [T, string]>): Promise<T>
  async run(shows: string, work: () => Promise<string>): Promise<void>
  async run<T>(shows: string, work: () => Promise<string | readonly [T, string]>): Promise<T | undefined> {
    const number = ++this.#count
    const beganMs = performance.now()
    if (process.stdout.isTTY) process.stdout.write(`… ${number}. ${shows}`)
    const result = await work().finally(() => {
      if (process.stdout.isTTY) process.stdout.write('\r\u001b[K')
    })
    const [value, line] = typeof result === 'string' ? [undefined, result] : result
    const tookMs = Math.round(performance.now() - beganMs)
    process.stdout.write(`✓ ${number}. ${shows} (${tookMs} ms)\n     ${line}\n`)
    return value
  }

  failed(error: unknown): void {
    this.#failures++
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    process.stdout.write(`✗ ${this.#count}. failed: ${text}\n`)
  }

  summary(): void {
    const seconds = ((performance.now() - this.#beganMs) / 1000).toFixed(1)
    process.stdout.write(`${this.#count} steps in ${seconds} s${this.#failures > 0 ? ', FAILED' : ''}\n`)
  }
}
