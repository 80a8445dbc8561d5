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

  /** `before`: what it has from earlier runs. */
  constructor(options: { maxEntries: number; before?: readonly NetworkUse[] }, { nowMs }: { nowMs: () => number }) {
    this.#maxEntries = options.maxEntries
    this.#nowMs = nowMs
    for (const use of options.before ?? []) this.#usesOf(use.outcome).set(keyOf(use), use)
  }

  count(host: string, port: number, outcome: NetworkOutcome): void {
    const uses = this.#usesOf(outcome)
    const isFull = !uses.has(keyOf({ host, port, outcome, others: false })) && uses.size >= this.#maxEntries / 2
    const subject = { ...(isFull ? { host: '', port: 0 } : { host, port }), outcome, others: isFull }
    const key = keyOf(subject)
    const nowMs = this.#nowMs()
    const before = uses.get(key) ?? { ...subject, count: 0, firstAtMs: nowMs, lastAtMs: nowMs }
    uses.set(key, { ...before, count: before.count + 1, lastAtMs: nowMs })
  }

  entries(): NetworkUse[] {
    return [...this.#made.values(), ...this.#refused.values()]
  }

  #usesOf(outcome: NetworkOutcome): Map<string, NetworkUse> {
    return outcome === 'connected' ? this.#made : this.#refused
  }
}

function keyOf({ host, port, outcome, others }: Pick<NetworkUse, 'host' | 'port' | 'outcome' | 'others'>): string {
  return others ? outcome : `${outcome} ${port} ${host}`
}
