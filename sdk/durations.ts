import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt'
import { durationFromMs, timestampDate } from '@bufbuild/protobuf/wkt'
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

/** With fractions: commands of less than a millisecond are common. */
export function msFrom(duration: Duration | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1000 + duration.nanos / 1_000_000
}

export function dateFrom(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp === undefined ? undefined : timestampDate(timestamp)
}
