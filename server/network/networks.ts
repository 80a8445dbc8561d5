import { networkInterfaces } from 'node:os'
import { type Agent, AgentError } from '../../runtimes/contract/agent.ts'
import { within } from '../concurrency/within.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError } from '../errors/croft-error.ts'
import type { NetworkTrailRecord } from '../records/record-types.ts'
import type { Table } from '../records/table.ts'
import { canonicalAddress } from './address.ts'
import type { AllowRule } from './allow-list.ts'
import { hostLookup, type Lookup } from './lookup.ts'
import { NetworkTrail, type NetworkUse } from './network-trail.ts'
import { Outgoing } from './outgoing.ts'
import type { Network } from './parse-network.ts'
import { createProxy } from './proxy.ts'
import { PROXY_PORT } from './proxy-environment.ts'

export interface NetworksOptions {
  readonly limits: Limits
  /** The most that a sandbox may have. */
  readonly most: Network['mode']
}

export interface NetworksDependencies {
  readonly saved: Pick<Table<NetworkTrailRecord>, 'get' | 'put' | 'delete' | 'nextSequence'>
  readonly nowMs: () => number
  /** Default: as this host looks names up. */
  readonly lookup?: Lookup
}

/** The proxies of the sandboxes that have an allow-list, and what they were asked for. */
export class Networks {
  readonly #limits: Limits
  readonly #most: Network['mode']
  readonly #saved: NetworksDependencies['saved']
  readonly #nowMs: () => number
  readonly #lookup: Lookup
  readonly #trails = new Map<string, NetworkTrail>()

  constructor(options: NetworksOptions, dependencies: NetworksDependencies) {
    this.#limits = options.limits
    this.#most = options.most
    this.#saved = dependencies.saved
    this.#nowMs = dependencies.nowMs
    this.#lookup = dependencies.lookup ?? hostLookup(options.limits.maxLookups)
  }

  /** Throws PERMISSION_DENIED naming the field. Also of a sandbox that was made under another setting. */
  checkAllowed({ mode }: Network): void {
    if (MODES.indexOf(mode) <= MODES.indexOf(this.#most)) return
    const field = 'network.mode'
    throw new CroftError('PERMISSION_DENIED', `${field} may be at most ${this.#most} on this server`, { field })
  }

  /** Before anything else runs inside: nobody else has the port then. The connections end with the agent. */
  async attach(sandboxId: string, agent: Agent, rules: readonly AllowRule[]): Promise<void> {
    const before = this.#saved.get(sandboxId)?.uses ?? []
    const maxEntries = this.#limits.maxNetworkTrailEntries
    const trail = this.#trails.get(sandboxId) ?? new NetworkTrail({ maxEntries, before }, { nowMs: this.#nowMs })
    this.#trails.set(sandboxId, trail)
    const outgoing = new Outgoing({ rules, limits: this.#limits }, { lookup: this.#lookup, ownAddresses, trail })
    const listening = agent.listen({
      port: PROXY_PORT,
      maxConnections: this.#limits.maxProxyConnections,
      onConnection: createProxy(outgoing, this.#limits),
    })
    // An agent that answers other things and not this would hold the start up for ever.
    const late = () => new AgentError('protocol', 'the agent does not listen for the proxy')
    await within(listening, this.#limits.proxyConnectMs, late)
  }

  /** Of all runs so far. */
  trailOf(sandboxId: string): readonly NetworkUse[] {
    return this.#trails.get(sandboxId)?.entries() ?? this.#saved.get(sandboxId)?.uses ?? []
  }

  /** At the end of a run. */
  async save(sandboxId: string): Promise<void> {
    const trail = this.#trails.get(sandboxId)
    if (trail === undefined || trail.entries().length === 0) return
    const sequence = this.#saved.get(sandboxId)?.sequence ?? this.#saved.nextSequence()
    await this.#saved.put({ id: sandboxId, sequence, uses: trail.entries() })
  }

  async forget(sandboxId: string): Promise<void> {
    this.#trails.delete(sandboxId)
    if (this.#saved.get(sandboxId) !== undefined) await this.#saved.delete(sandboxId)
  }
}

/** Each has what those before it have. */
const MODES: readonly Network['mode'][] = ['off', 'allow-list', 'full']

function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .flatMap(({ address }) => canonicalAddress(address) ?? [])
}
