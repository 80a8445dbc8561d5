import { create } from '@bufbuild/protobuf'
import { type ExecResult, ExecResultSchema } from '../../proto/index.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, type ErrorDetail } from '../errors/croft-error.ts'
import type { Running } from '../sandboxes/running.ts'
import { CappedOutput } from './output.ts'
import { execResult, type Outcome } from './result.ts'

/** The error of a command that outran its timeout. */
export function timedOut(timeoutMs: number, outcome: Outcome, limits: Limits): CroftError {
  return new CroftError('DEADLINE_EXCEEDED', `the command did not end within ${timeoutMs / 1000} s and was killed`, {
    reason: 'command_timeout',
    detail: partial(outcome, limits),
  })
}

/** The same where there is no output to tell of: it has gone out already, or there was none. */
export function timedOutSilently(
  timeoutMs: number,
  { status, durationMs }: Pick<Outcome, 'status' | 'durationMs'>,
  limits: Limits,
): CroftError {
  return timedOut(timeoutMs, withoutOutput({ status, durationMs }), limits)
}

/** The error of a command that printed more than its sandbox lets one. */
export function tooMuchOutput({ limits: { outputBytes } }: Running, outcome: Outcome, limits: Limits): CroftError {
  return new CroftError(
    'RESOURCE_EXHAUSTED',
    `the command printed more than ${outputBytes} bytes, which is the sandbox's limit, and was killed`,
    { reason: 'output_limit', detail: partial(outcome, limits) },
  )
}

export function withoutOutput(outcome: Pick<Outcome, 'status' | 'durationMs'>): Outcome {
  return { ...outcome, stdout: new CappedOutput(0), stderr: new CappedOutput(0) }
}

function partial(outcome: Outcome, limits: Limits): ErrorDetail {
  const message: ExecResult = create(ExecResultSchema, execResult(outcome, limits.maxPartialOutputBytes))
  return { schema: ExecResultSchema, message }
}
