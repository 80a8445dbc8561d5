import { create, toBinary } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { AnySchema, anyPack } from '@bufbuild/protobuf/wkt'
import { Metadata, status } from '@grpc/grpc-js'
import type { CroftError } from './croft-error.ts'

/**
 * What an answer says beside its status and message: the field and the reason as plain trailers, for a client
 * of ours, and a google.rpc.Status in `grpc-status-details-bin`, which the gRPC libraries of other languages
 * read: a BadRequest naming the field, and the detail, such as the ExecResult of a command that ran out of time.
 */
export function trailersOf(error: CroftError): Metadata {
  const trailers = new Metadata()
  if (error.field !== undefined) trailers.set('croft-field', asAscii(error.field))
  if (error.reason !== undefined) trailers.set('croft-reason', asAscii(error.reason))

  const details = []
  if (error.field !== undefined) {
    details.push(
      create(AnySchema, {
        typeUrl: 'type.googleapis.com/google.rpc.BadRequest',
        value: badRequest(error.field, error.message),
      }),
    )
  }
  if (error.detail !== undefined) details.push(anyPack(error.detail.schema, error.detail.message))
  if (details.length > 0) trailers.set('grpc-status-details-bin', statusMessage(error, details))
  return trailers
}

/** BadRequest{field_violations=1 FieldViolation{field=1, description=2}} */
function badRequest(field: string, description: string): Uint8Array {
  const violation = new BinaryWriter().tag(1, WireType.LengthDelimited).string(field)
  violation.tag(2, WireType.LengthDelimited).string(description)
  return new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(violation.finish()).finish()
}

/** google.rpc.Status{code=1 int32, message=2 string, details=3 repeated Any} */
function statusMessage(error: CroftError, details: ReturnType<typeof create<typeof AnySchema>>[]): Buffer {
  const writer = new BinaryWriter().tag(1, WireType.Varint).int32(status[error.code])
  writer.tag(2, WireType.LengthDelimited).string(error.message)
  for (const detail of details) writer.tag(3, WireType.LengthDelimited).bytes(toBinary(AnySchema, detail))
  return Buffer.from(writer.finish())
}

/** Other characters are not allowed in a header. */
function asAscii(text: string): string {
  return text.replace(/[^\u0020-\u007e]/g, '?')
}
