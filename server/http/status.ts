import { createRegistry, type DescService, type JsonObject, toJson } from '@bufbuild/protobuf'
import { AnySchema } from '@bufbuild/protobuf/wkt'
import { status } from '@grpc/grpc-js'
import { CroftError } from '../errors/croft-error.ts'
import { CallFailure } from './inner-call.ts'

/** An answer that is no success, as `google.rpc.Status` in JSON, and the status of HTTP that goes with it. */
export interface Refusal {
  readonly httpStatus: number
  readonly body: JsonObject
}

/** As google/rpc/code.proto has them. */
const HTTP_STATUS: Readonly<Record<number, number>> = {
  [status.CANCELLED]: 499,
  [status.INVALID_ARGUMENT]: 400,
  [status.DEADLINE_EXCEEDED]: 504,
  [status.NOT_FOUND]: 404,
  [status.ALREADY_EXISTS]: 409,
  [status.PERMISSION_DENIED]: 403,
  [status.RESOURCE_EXHAUSTED]: 429,
  [status.FAILED_PRECONDITION]: 400,
  [status.ABORTED]: 409,
  [status.OUT_OF_RANGE]: 400,
  [status.UNIMPLEMENTED]: 501,
  [status.UNAVAILABLE]: 503,
  [status.UNAUTHENTICATED]: 401,
}
const INTERNAL_SERVER_ERROR = 500

export class Refusals {
  readonly #registry: ReturnType<typeof createRegistry>

  constructor(services: readonly DescService[]) {
    this.#registry = createRegistry(...services.map((service) => service.file))
  }

  /** Undefined where what was thrown says nothing that a client may know. */
  of(error: unknown): Refusal | undefined {
    if (error instanceof CroftError) {
      return refusal(status[error.code], error.message, error.field, error.reason, [])
    }
    if (!(error instanceof CallFailure)) return undefined
    const own = error.details.flatMap((any) => {
      const isOurs = any.typeUrl.startsWith('type.googleapis.com/sandbox.')
      return isOurs ? [toJson(AnySchema, any, { registry: this.#registry }) as JsonObject] : []
    })
    return refusal(error.code, error.message, error.field, error.reason, own)
  }
}

function refusal(
  code: number,
  message: string,
  field: string | undefined,
  reason: string | undefined,
  own: readonly JsonObject[],
): Refusal {
  const details: JsonObject[] = [...own]
  if (field !== undefined) {
    const fieldViolations = [{ field, description: message }]
    details.push({ '@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations })
  }
  if (reason !== undefined) {
    details.push({ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason, domain: 'croft' })
  }
  return { httpStatus: HTTP_STATUS[code] ?? INTERNAL_SERVER_ERROR, body: { code, message, details } }
}
