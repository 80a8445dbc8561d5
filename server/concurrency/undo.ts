/** What must be taken back, last first. */
export class Undo {
  readonly #steps: (() => unknown)[] = []

  add(step: () => unknown): void {
    this.#steps.push(step)
  }

  /** Goes through to the end, whatever fails on the way; each failure is reported. */
  async run(onFailure: (error: unknown) => void): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step()
      } catch (error) {
        onFailure(error)
      }
    }
  }
}
