import { type Duration, durationMs } from '@bufbuild/protobuf/wkt'
import type { Limits } from '../config/limits.ts'
import { invalid } from '../errors/croft-error.ts'
import type { Running } from '../sandboxes/running.ts'

/** Milliseconds. */
export interface Timeout {
  readonly ms: number
  /** The request names it. */
  readonly asked: boolean
}

/** Unset or 0: `fallbackMs`, the server's default. Throws INVALID_ARGUMENT naming `timeout`. */
export function parseTimeout(
  timeout: Duration | undefined,
  limits: Limits,
  fallbackMs = limits.execTimeoutDefaultMs,
): Timeout {
  const ms = timeout === undefined ? 0 : durationMs(timeout)
  if (ms === 0) return { ms: Math.min(fallbackMs, limits.execTimeoutMaxMs), asked: false }
  if (!(ms > 0)) throw invalid('timeout', 'must not be negative')
  if (ms > limits.execTimeoutMaxMs) throw invalid('timeout', `is over the limit of ${limits.execTimeoutMaxMs / 1000} s`)
  return { ms, asked: true }
}

/** What the sandbox's own limit makes of it. Throws INVALID_ARGUMENT naming `timeout` where it is over that. */
export function timeoutWithin({ ms, asked }: Timeout, { limits: { runTimeMs } }: Running): number {
  if (runTimeMs === undefined || ms <= runTimeMs) return ms
  if (asked) throw invalid('timeout', `is over the sandbox's limit of ${runTimeMs / 1000} s`)
  return runTimeMs
}
