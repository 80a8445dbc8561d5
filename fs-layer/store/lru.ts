/** Remembers what was used last, up to a sum of costs. A value that costs more than all of it is not kept. */
export class Lru<V> {
  readonly #maxCost: number
  // A Map keeps the order of insertion: the first is the one not used for the longest time.
  readonly #values = new Map<string, { value: V; cost: number }>()
  #cost = 0

  constructor(maxCost: number) {
    this.#maxCost = maxCost
  }

  get(key: string): V | undefined {
    const found = this.#values.get(key)
    if (found === undefined) return undefined
    this.#values.delete(key)
    this.#values.set(key, found)
    return found.value
  }

  /** For keys that always have the same value: one that is there already stays. */
  add(key: string, value: V, cost: number): void {
    if (cost > this.#maxCost || this.#values.has(key)) return
    this.#values.set(key, { value, cost })
    this.#cost += cost
    for (const [oldest, { cost: freed }] of this.#values) {
      if (this.#cost <= this.#maxCost) return
      this.#values.delete(oldest)
      this.#cost -= freed
    }
  }

  delete(key: string): void {
    const found = this.#values.get(key)
    if (found === undefined) return
    this.#values.delete(key)
    this.#cost -= found.cost
  }

  get cost(): number {
    return this.#cost
  }
}
