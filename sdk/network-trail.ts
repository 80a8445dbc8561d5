import { NetworkOutcome as Outcome, TrailService, type NetworkUse as WireUse } from '../proto/index.ts'
import type { Connection } from './client/connection.ts'
import { dateFrom } from './durations.ts'

/**
 * `connected`; refused by the rules: `not_allowed` (the host, or this port of it), `private_address` (the name leads to
 * an address that is not public and not named), `malformed`; or allowed and not to be had: `unresolved`, `unreachable`.
 */
export type NetworkOutcome =
  | 'connected'
  | 'not_allowed'
  | 'private_address'
  | 'malformed'
  | 'unresolved'
  | 'unreachable'

/** How often the programs in a sandbox asked its proxy for one host and port, with one outcome. */
export interface NetworkUse {
  /** Empty where it could not be read, and with `others`. */
  readonly host: string
  readonly port: number
  readonly outcome: NetworkOutcome
  readonly count: number
  readonly firstAt?: Date
  readonly lastAt?: Date
  /** Of all hosts with this outcome for which there was no room. */
  readonly others: boolean
}

export async function readNetworkTrail(
  connection: Connection,
  sandboxId: string,
  options: { readonly signal?: AbortSignal },
): Promise<NetworkUse[]> {
  const { uses } = await connection.unary(TrailService.method.getNetworkTrail, { sandboxId }, options)
  return uses.map(useFromWire)
}

function useFromWire({ host, port, outcome, count, others, ...times }: WireUse): NetworkUse {
  const [firstAt, lastAt] = [dateFrom(times.firstAt), dateFrom(times.lastAt)]
  return {
    ...{ host, port, others },
    outcome: OUTCOMES[outcome],
    count: Number(count),
    ...(firstAt === undefined ? {} : { firstAt }),
    ...(lastAt === undefined ? {} : { lastAt }),
  }
}

const OUTCOMES: Record<Outcome, NetworkOutcome> = {
  [Outcome.UNSPECIFIED]: 'malformed',
  [Outcome.CONNECTED]: 'connected',
  [Outcome.NOT_ALLOWED]: 'not_allowed',
  [Outcome.PRIVATE_ADDRESS]: 'private_address',
  [Outcome.MALFORMED]: 'malformed',
  [Outcome.UNRESOLVED]: 'unresolved',
  [Outcome.UNREACHABLE]: 'unreachable',
}
