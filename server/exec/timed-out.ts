import { create } from '@bufbuild/protobuf'
import { type ExecResult, ExecResultSchema } from '../../proto/index.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError } from '../errors/croft-error.ts'
import { CappedOutput } from './output.ts'
import { execResult, type Outcome } from './result.ts'

/** The error of a command that outran its timeout. */
export function timedOut(timeoutMs: number, outcome: Outcome, limits: Limits): CroftError {
  const partial: ExecResult = create(ExecResultSchema, execResult(outcome, limits.maxPartialOutputBytes))
  return new CroftError('DEADLINE_EXCEEDED', `the command did not end within ${timeoutMs / 1000} s and was killed`, {
    reason: 'command_timeout',
    detail: { schema: ExecResultSchema, message: partial },
  })
}

/** The same where there is no output to tell of: it has gone out already, or there was none. */
export function timedOutSilently(
  timeoutMs: number,
  { status, durationMs }: Pick<Outcome, 'status' | 'durationMs'>,
  limits: Limits,
): CroftError {
  const nothing = new CappedOutput(0)
  return timedOut(timeoutMs, { status, stdout: nothing, stderr: nothing, durationMs }, limits)
}
