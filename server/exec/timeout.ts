import { type Duration, durationMs } from '@bufbuild/protobuf/wkt'
import type { Limits } from '../config/limits.ts'
import { invalid } from '../errors/croft-error.ts'

/** In milliseconds. Unset or 0: the server's default. Throws INVALID_ARGUMENT naming `timeout`. */
export function parseTimeout(timeout: Duration | undefined, limits: Limits): number {
  const ms = timeout === undefined ? 0 : durationMs(timeout)
  if (ms === 0) return Math.min(limits.execTimeoutDefaultMs, limits.execTimeoutMaxMs)
  if (!(ms > 0)) throw invalid('timeout', 'must not be negative')
  if (ms > limits.execTimeoutMaxMs) throw invalid('timeout', `is over the limit of ${limits.execTimeoutMaxMs / 1000} s`)
  return ms
}
