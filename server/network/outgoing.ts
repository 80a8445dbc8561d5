import type { Socket } from 'node:net'
import { Serial } from '../concurrency/serial.ts'
import { within } from '../concurrency/within.ts'
import type { Limits } from '../config/limits.ts'
import { canonicalAddress, isPublicAddress } from './address.ts'
import { type AllowRule, judge } from './allow-list.ts'
import { dial } from './dial.ts'
import { type Host, parseHost } from './host.ts'
import type { Lookup } from './lookup.ts'
import type { NetworkTrail } from './network-trail.ts'
import { Refusal } from './refusal.ts'

export interface OutgoingDependencies {
  readonly lookup: Lookup
  /** Of the server's host. They lead to what listens on it, whatever network they are of. */
  readonly ownAddresses: () => readonly string[]
  readonly trail: NetworkTrail
}

/**
 * The one way out of a sandbox: by name and port, over an address that was checked and is the one connected to, so
 * that a name which resolves to something else the next time gains nothing. Each decision is on the trail.
 */
export class Outgoing {
  readonly #rules: readonly AllowRule[]
  readonly #limits: Limits
  readonly #parts: OutgoingDependencies
  readonly #lookups = new Serial()
  #opening = 0

  constructor(options: { rules: readonly AllowRule[]; limits: Limits }, dependencies: OutgoingDependencies) {
    this.#rules = options.rules
    this.#limits = options.limits
    this.#parts = dependencies
  }

  /** Rejects with a `Refusal`. */
  async open(text: string, port: number): Promise<Socket> {
    const host = parseHost(text)
    if (host === undefined || !Number.isInteger(port) || port < 1 || port > 65_535) {
      throw this.malformed('that is no host with a port')
    }
    const shown = host.kind === 'name' ? host.name : host.address
    this.#opening += 1
    try {
      const socket = await this.#open(host, shown, port)
      this.#parts.trail.count(shown, port, 'connected')
      return socket
    } catch (error) {
      if (error instanceof Refusal) this.#parts.trail.count(shown, port, error.reason)
      throw error
    } finally {
      this.#opening -= 1
    }
  }

  /** What was asked for cannot be read: on the trail, and to be told. */
  malformed(message: string): Refusal {
    this.#parts.trail.count('', 0, 'malformed')
    return new Refusal('malformed', message)
  }

  async #open(host: Host, shown: string, port: number): Promise<Socket> {
    const verdict = judge(this.#rules, host, port)
    if (verdict === 'port') throw new Refusal('not_allowed', `port ${port} of ${shown} is not in network.allow`)
    if (verdict === 'host') throw new Refusal('not_allowed', `${shown} is not in network.allow`)
    // One that gives up while its connection is made makes room for another, but the attempt goes on.
    if (this.#opening > this.#limits.maxProxyConnections) {
      throw new Refusal('unreachable', 'too many connections are being made')
    }
    const deadlineMs = performance.now() + this.#limits.proxyConnectMs
    const addresses = host.kind === 'address' ? [host.address] : await this.#addressesOf(host.name, port)
    const leftMs = deadlineMs - performance.now()
    if (leftMs <= 0) throw new Refusal('unreachable', `${shown} took too long to look up`)
    try {
      return await dial(addresses, port, leftMs)
    } catch (error) {
      throw new Refusal('unreachable', `${shown} cannot be reached: ${codeOf(error)}`)
    }
  }

  async #addressesOf(name: string, port: number): Promise<string[]> {
    const found = await this.#lookUp(name)
    const own = new Set(this.#parts.ownAddresses())
    const mayGoTo = (address: string) =>
      (isPublicAddress(address) && !own.has(address)) ||
      judge(this.#rules, { kind: 'address', address }, port) === 'allowed'
    const allowed = found.filter(mayGoTo).slice(0, MAX_ADDRESSES)
    if (allowed.length > 0) return allowed
    if (found.length === 0) throw new Refusal('unresolved', `${name} has no address`)
    throw new Refusal(
      'private_address',
      `${name} is at ${found[0]}, which is not public: that address must be in network.allow too`,
    )
  }

  async #lookUp(name: string): Promise<string[]> {
    let isLate = false
    const late = () => {
      isLate = true
      return new Error('ETIMEOUT')
    }
    try {
      // One at a time, so that slow names of one sandbox leave room for those of others.
      const looking = this.#lookups.run('', async () => (isLate ? [] : await this.#parts.lookup(name)))
      const found = await within(looking, this.#limits.proxyConnectMs, late)
      return found.flatMap((address) => canonicalAddress(address) ?? [])
    } catch (error) {
      throw new Refusal('unresolved', `${name} cannot be looked up: ${codeOf(error)}`)
    }
  }
}

/** Of one name; each has its part of the time to connect. */
const MAX_ADDRESSES = 4

function codeOf(error: unknown): string {
  if (error instanceof Error) return 'code' in error && typeof error.code === 'string' ? error.code : error.message
  return String(error)
}
