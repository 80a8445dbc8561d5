import type { RefusalReason } from './refusal.ts'

export type NetworkOutcome = 'connected' | RefusalReason

export interface NetworkUse {
  /** As it was asked for, in its one form. Empty where it could not be read, and for what there was no room for. */
  readonly host: string
  readonly port: number
  readonly outcome: NetworkOutcome
  readonly count: number
  readonly firstAtMs: number
  readonly lastAtMs: number
  /** Of all hosts with this outcome for which there was no room. */
  readonly others: boolean
}

/**
 * Every decision about one sandbox's connections, counted by host, port and outcome. Connections that were made and
 * those that were not have half of the room each: asking for ever new names pushes nothing off.
 */
export class NetworkTrail {
  readonly #maxEntries: number
  readonly #nowMs: () => number
  readonly #made = new Map<string, NetworkUse>()
  readonly #refused = new Map<string, NetworkUse>()

  constructor({ maxEntries }: { maxEntries: number }, { nowMs }: { nowMs: () => number }) {
    this.#maxEntries = maxEntries
    this.#nowMs = nowMs
  }

  count(host: string, port: number, outcome: NetworkOutcome): void {
    const uses = outcome === 'connected' ? this.#made : this.#refused
    const key = `${outcome} ${port} ${host}`
    const isFull = !uses.has(key) && uses.size >= this.#maxEntries / 2
    const [at, subject] = isFull ? [outcome, { host: '', port: 0 }] : [key, { host, port }]
    const nowMs = this.#nowMs()
    const before = uses.get(at) ?? { ...subject, outcome, count: 0, firstAtMs: nowMs, lastAtMs: nowMs, others: isFull }
    uses.set(at, { ...before, count: before.count + 1, lastAtMs: nowMs })
  }

  entries(): NetworkUse[] {
    return [...this.#made.values(), ...this.#refused.values()]
  }
}
