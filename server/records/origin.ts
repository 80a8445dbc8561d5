import type { Hash } from '../../fs-layer/store/objects.ts'
import type { SandboxRecord } from './record-types.ts'

/** The version of a codebase of which it is a change, by whatever way. */
export function originOf({ origin, base }: Pick<SandboxRecord, 'origin' | 'base'>): Hash {
  return origin ?? base
}
