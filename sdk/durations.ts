import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt'
import { durationFromMs, durationMs as msOf, timestampDate } from '@bufbuild/protobuf/wkt'
import { InvalidArgumentError } from './errors.ts'

/** About 317 years; what a protobuf Duration holds is more, what a Date holds is not. */
const MAX_DURATION_MS = 1e13

/** Throws an `InvalidArgumentError` naming the option unless `ms` is a positive number. */
export function durationFrom(ms: number, option: string): Duration {
  if (typeof ms !== 'number' || !(ms > 0) || ms > MAX_DURATION_MS) {
    throw new InvalidArgumentError(`${option} must be a positive number of milliseconds, not ${String(ms)}`, option)
  }
  return durationFromMs(Math.ceil(ms))
}

export function msFrom(duration: Duration | undefined): number {
  return duration === undefined ? 0 : msOf(duration)
}

export function dateFrom(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp === undefined ? undefined : timestampDate(timestamp)
}
