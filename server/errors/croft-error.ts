import type { DescMessage, Message } from '@bufbuild/protobuf'

/** The status codes that the server answers on purpose, by their gRPC names. */
export type StatusName =
  | 'CANCELLED'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'UNAUTHENTICATED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'

/** An answer that is no success. What it says goes to the client, so it says nothing of the host. */
export class CroftError extends Error {
  readonly code: StatusName
  /** The field of the request that is wrong, as `permissions[2].pattern`. */
  readonly field: string | undefined
  /** A word for programs where the status alone does not tell: `not_running`, `session_closed`, … */
  readonly reason: string | undefined
  /** Goes along in the error's details. */
  readonly detail: ErrorDetail | undefined

  constructor(code: StatusName, message: string, data: ErrorData = {}) {
    super(message, data.cause === undefined ? undefined : { cause: data.cause })
    this.name = 'CroftError'
    this.code = code
    this.field = data.field
    this.reason = data.reason
    this.detail = data.detail
  }
}

export interface ErrorData {
  readonly field?: string
  readonly reason?: string
  readonly detail?: ErrorDetail
  readonly cause?: unknown
}

export interface ErrorDetail {
  readonly schema: DescMessage
  readonly message: Message
}

/** INVALID_ARGUMENT for a field of the request. `problem` goes on where the name of the field ends. */
export function invalid(field: string, problem: string, cause?: unknown): CroftError {
  return new CroftError('INVALID_ARGUMENT', `${field} ${problem}`, { field, cause })
}

export function notFound(
  what:
    | 'checkpoint'
    | 'codebase'
    | 'sandbox'
    | 'session'
    | 'command'
    | 'snapshot'
    | 'token'
    | 'export job'
    | 'export schedule',
  id: string,
): CroftError {
  return new CroftError('NOT_FOUND', `there is no ${what} ${printable(id)}`, {
    reason: `${what.replace(' ', '_')}_not_found`,
  })
}

export function notRunning(sandboxId: string, status: string): CroftError {
  return new CroftError('FAILED_PRECONDITION', `sandbox ${sandboxId} is not running: it is ${status}`, {
    reason: 'not_running',
  })
}

/** Text of unknown origin, safe in a message and in a log: no control characters, not long. */
export function printable(text: string, maxShown = 200): string {
  const shown = text.length > maxShown ? `${text.slice(0, maxShown)}…` : text
  // Replaced: C0, DEL and C1 controls, and the marks that turn the direction of text around.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: to take them out is the purpose
  return shown.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '\ufffd')
}
