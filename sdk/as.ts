import { Principal } from '../proto/index.ts'
import { InvalidArgumentError } from './errors.ts'

/**
 * Who asks. `sandbox`: as the commands inside, so what the rules hide does not exist. `owner`: every path and
 * every right.
 */
export type As = 'sandbox' | 'owner'

export interface AsOption {
  /** Default `sandbox`. */
  readonly as?: As
  readonly signal?: AbortSignal
}

export function principalOf(as: As | undefined): Principal {
  if (as === undefined || as === 'sandbox') return Principal.SANDBOX
  if (as === 'owner') return Principal.OWNER
  throw new InvalidArgumentError(`as is ${JSON.stringify(as)}; it must be sandbox or owner`, 'as')
}
