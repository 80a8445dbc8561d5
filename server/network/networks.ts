import { networkInterfaces } from 'node:os'
import { type Agent, AgentError } from '../../runtimes/contract/agent.ts'
import { within } from '../concurrency/within.ts'
import type { Limits } from '../config/limits.ts'
import { canonicalAddress } from './address.ts'
import type { AllowRule } from './allow-list.ts'
import { hostLookup, type Lookup } from './lookup.ts'
import { NetworkTrail, type NetworkUse } from './network-trail.ts'
import { Outgoing } from './outgoing.ts'
import { createProxy } from './proxy.ts'
import { PROXY_PORT } from './proxy-environment.ts'

export interface NetworksDependencies {
  readonly nowMs: () => number
  /** Default: as this host looks names up. */
  readonly lookup?: Lookup
}

/** The proxies of the sandboxes that have an allow-list, and what they were asked for. */
export class Networks {
  readonly #limits: Limits
  readonly #nowMs: () => number
  readonly #lookup: Lookup
  readonly #trails = new Map<string, NetworkTrail>()

  constructor(options: { limits: Limits }, dependencies: NetworksDependencies) {
    this.#limits = options.limits
    this.#nowMs = dependencies.nowMs
    this.#lookup = dependencies.lookup ?? hostLookup(options.limits.maxLookups)
  }

  /** Before anything else runs inside: nobody else has the port then. The connections end with the agent. */
  async attach(sandboxId: string, agent: Agent, rules: readonly AllowRule[]): Promise<void> {
    const trail =
      this.#trails.get(sandboxId) ??
      new NetworkTrail({ maxEntries: this.#limits.maxNetworkTrailEntries }, { nowMs: this.#nowMs })
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

  /** Of all runs since this server was started. */
  trailOf(sandboxId: string): NetworkUse[] {
    return this.#trails.get(sandboxId)?.entries() ?? []
  }

  forget(sandboxId: string): void {
    this.#trails.delete(sandboxId)
  }
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .flatMap(({ address }) => canonicalAddress(address) ?? [])
}
