import { Metadata, status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { type InvalidArgumentError, NotFoundError } from '../errors.ts'
import { FIELD_TRAILER, fromStatus, REASON_TRAILER } from './from-status.ts'

function serviceError(code: status, trailers: Record<string, string> = {}): Error {
  const metadata = new Metadata()
  for (const [key, value] of Object.entries(trailers)) metadata.set(key, value)
  return Object.assign(new Error(`${code}`), { code, details: 'what happened', metadata })
}

test.each([
  [status.INVALID_ARGUMENT, 'invalid_argument', 'InvalidArgumentError'],
  [status.OUT_OF_RANGE, 'invalid_argument', 'InvalidArgumentError'],
  [status.NOT_FOUND, 'not_found', 'NotFoundError'],
  [status.ALREADY_EXISTS, 'already_exists', 'AlreadyExistsError'],
  [status.PERMISSION_DENIED, 'permission_denied', 'PermissionDeniedError'],
  [status.UNAUTHENTICATED, 'unauthenticated', 'UnauthenticatedError'],
  [status.FAILED_PRECONDITION, 'failed_precondition', 'FailedPreconditionError'],
  [status.DEADLINE_EXCEEDED, 'timeout', 'TimeoutError'],
  [status.RESOURCE_EXHAUSTED, 'resource_exhausted', 'ResourceExhaustedError'],
  [status.UNIMPLEMENTED, 'unsupported', 'UnsupportedError'],
  [status.ABORTED, 'conflict', 'ConflictError'],
  [status.CANCELLED, 'aborted', 'AbortedError'],
  [status.UNAVAILABLE, 'server_unreachable', 'ServerUnreachableError'],
  [status.INTERNAL, 'internal', 'InternalError'],
  [status.DATA_LOSS, 'internal', 'InternalError'],
  [status.UNKNOWN, 'internal', 'InternalError'],
])('status %i is an error with code %s and a class of its own', (code, expected, name) => {
  const cause = serviceError(code)
  expect(fromStatus(cause, { address: 'unix:///s' })).toMatchObject({ code: expected, name, cause })
})

test('the message says what happened and then the remedy', () => {
  const error = fromStatus(serviceError(status.NOT_FOUND), { address: '' })
  expect(error.message).toBe(`what happened. ${error.remedy}`)
  expect(error.remedy).not.toBe('')
})

test('the field that was wrong comes with the error', () => {
  const error = fromStatus(serviceError(status.INVALID_ARGUMENT, { [FIELD_TRAILER]: 'permissions[1].pattern' }), {
    address: '',
  })
  expect((error as InvalidArgumentError).field).toBe('permissions[1].pattern')
})

test('a sandbox that does not run is told from other states that do not fit', () => {
  const error = fromStatus(serviceError(status.FAILED_PRECONDITION, { [REASON_TRAILER]: 'not_running' }), {
    address: '',
  })
  expect(error).toMatchObject({ code: 'not_running', name: 'NotRunningError' })
})

test('a server that answers that it cannot for the moment is told from one that does not answer', () => {
  const error = fromStatus(serviceError(status.UNAVAILABLE, { [REASON_TRAILER]: 'filesystem_thread_died' }), {
    address: '',
  })
  expect(error).toMatchObject({ code: 'unavailable', name: 'UnavailableError', remedy: 'Try again' })
})

test('a call that the caller aborted is an AbortedError with the reason, whatever the status', () => {
  const signal = AbortSignal.abort('enough')
  expect(fromStatus(serviceError(status.UNAVAILABLE), { address: '', signal })).toMatchObject({
    code: 'aborted',
    cause: 'enough',
  })
})

test('an error of the SDK stays what it is', () => {
  const error = new NotFoundError('gone')
  expect(fromStatus(error, { address: '' })).toBe(error)
})
