import type { MessageInitShape } from '@bufbuild/protobuf'
import type { DurationSchema, TimestampSchema } from '@bufbuild/protobuf/wkt'

/** Of milliseconds with any fraction: the ones of the library take whole ones only. */
export function durationOf(ms: number): MessageInitShape<typeof DurationSchema> {
  const us = Math.max(0, Math.round(ms * 1000))
  return { seconds: BigInt(Math.floor(us / 1_000_000)), nanos: (us % 1_000_000) * 1000 }
}

export function timestampOf(seconds: number, nanos: number): MessageInitShape<typeof TimestampSchema> {
  return { seconds: BigInt(seconds), nanos }
}
