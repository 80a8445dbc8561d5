import { type Metadata, status } from '@grpc/grpc-js'
import {
  AbortedError,
  AlreadyExistsError,
  ConflictError,
  CroftError,
  FailedPreconditionError,
  InternalError,
  InvalidArgumentError,
  NotFoundError,
  NotRunningError,
  PermissionDeniedError,
  ResourceExhaustedError,
  ServerUnreachableError,
  TimeoutError,
  UnauthenticatedError,
  UnavailableError,
  UnsupportedError,
} from '../errors.ts'

/** Trailers in which the server says more than a status has room for. */
export const FIELD_TRAILER = 'croft-field'
export const REASON_TRAILER = 'croft-reason'

/** The one way from whatever a call threw to an error of the SDK. */
export function fromStatus(error: unknown, call: { address: string; signal?: AbortSignal | undefined }): CroftError {
  if (error instanceof CroftError) return error
  if (call.signal?.aborted === true) return new AbortedError(undefined, { cause: call.signal.reason })
  if (!isServiceError(error)) return new InternalError(`The call failed: ${String(error)}`, { cause: error })

  const what = error.details === '' ? `The server answered ${status[error.code]}` : error.details
  const cause = { cause: error }
  switch (error.code) {
    case status.INVALID_ARGUMENT:
    case status.OUT_OF_RANGE:
      return new InvalidArgumentError(what, trailer(error.metadata, FIELD_TRAILER), cause)
    case status.NOT_FOUND:
      return new NotFoundError(what, cause)
    case status.ALREADY_EXISTS:
      return new AlreadyExistsError(what, cause)
    case status.PERMISSION_DENIED:
      return new PermissionDeniedError(what, cause)
    case status.UNAUTHENTICATED:
      return new UnauthenticatedError(what, cause)
    case status.FAILED_PRECONDITION:
      return trailer(error.metadata, REASON_TRAILER) === 'not_running'
        ? new NotRunningError(what, cause)
        : new FailedPreconditionError(what, cause)
    case status.DEADLINE_EXCEEDED:
      return new TimeoutError(what, cause)
    case status.RESOURCE_EXHAUSTED:
      return new ResourceExhaustedError(what, cause)
    case status.UNIMPLEMENTED:
      return new UnsupportedError(what, cause)
    case status.ABORTED:
      return new ConflictError(what, cause)
    case status.CANCELLED:
      return new AbortedError('The call was cancelled', cause)
    case status.UNAVAILABLE:
      // Only a server that answers gives a reason.
      if (trailer(error.metadata, REASON_TRAILER) !== undefined) return new UnavailableError(what, cause)
      return new ServerUnreachableError(`No Croft server answers at ${call.address} (${what})`, cause)
    default:
      return new InternalError(what, cause)
  }
}

interface StatusLike {
  code: status
  details: string
  metadata: Metadata | undefined
}

/** Recognised by shape: there may be two copies of grpc-js in one process. */
function isServiceError(error: unknown): error is Error & StatusLike {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error
}

function trailer(metadata: Metadata | undefined, key: string): string | undefined {
  const value = metadata?.get(key)[0]
  return typeof value === 'string' ? value : undefined
}
