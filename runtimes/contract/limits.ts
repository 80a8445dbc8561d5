import type { Limits } from './runtime.ts'

export interface Range {
  readonly least: number
  readonly most: number
}

/**
 * The least and the most of each limit that a kernel and a sandbox can work with. The server's settings and requests
 * and every runtime's plan are held to this one table.
 */
export const LIMIT_RANGES = {
  /** Less does not hold the agent and one program. */
  memoryBytes: { least: 16 << 20, most: Number.MAX_SAFE_INTEGER },
  /** The kernel takes no quota under a millisecond. */
  cpuQuotaUs: { least: 1_000, most: 1e9 },
  cpuShares: { least: 2, most: 262_144 },
  pids: { least: 1, most: 1 << 22 },
  tmpBytes: { least: 1 << 16, most: Number.MAX_SAFE_INTEGER },
  /** A shell wants some beyond its first ten. */
  openFiles: { least: 64, most: 1 << 20 },
  /** A page: programs write at least that much at a time. */
  fileBytes: { least: 4_096, most: Number.MAX_SAFE_INTEGER },
} as const satisfies Record<keyof Limits, Range>

/** What of memory `/tmp` may take at most where both are limited: full, it is no end of the sandbox. */
export const MOST_TMP_OF_MEMORY = 0.5

export interface LimitFault {
  readonly limit: keyof Limits
  /** Goes on where the limit's name ends. */
  readonly problem: string
}

/** The first limit that cannot be, and why. */
export function faultInLimits(limits: Limits): LimitFault | undefined {
  for (const limit of Object.keys(LIMIT_RANGES) as (keyof Limits)[]) {
    const problem = limits[limit] === undefined ? undefined : outside(limits[limit], LIMIT_RANGES[limit])
    if (problem !== undefined) return { limit, problem }
  }
  const { tmpBytes = 0, memoryBytes = Number.POSITIVE_INFINITY } = limits
  if (tmpBytes <= memoryBytes * MOST_TMP_OF_MEMORY) return undefined
  return { limit: 'tmpBytes', problem: `must be at most half of the memory, which is ${memoryBytes}` }
}

/** What is wrong with a value, if something is. */
export function outside(value: number, { least, most }: Range): string | undefined {
  if (!Number.isInteger(value)) return 'must be a whole number'
  if (value < least) return `must be at least ${least}`
  return value > most ? `must be at most ${most}` : undefined
}
