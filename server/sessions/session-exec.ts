import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  ExecOutput_OutputType,
  type ExecOutputSchema,
  type ExecResultSchema,
  type SessionExecRequest,
} from '../../proto/index.ts'
import { type Shell, ShellError, type ShellResult, type ShellRunOptions } from '../../runtimes/agent/shell.ts'
import { durationOf } from '../api/wire-time.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, printable } from '../errors/croft-error.ts'
import { checkShellCommand } from '../exec/command.ts'
import { CappedOutput } from '../exec/output.ts'
import { execResult } from '../exec/result.ts'
import { timedOut, timedOutSilently } from '../exec/timed-out.ts'
import { parseTimeout } from '../exec/timeout.ts'
import type { Sessions } from './sessions.ts'

export interface SessionExecContext {
  readonly sessions: Sessions
  readonly limits: Limits
  readonly signal: AbortSignal
}

/** As `exec`, in a shell that is kept: commands of one session wait for one another. */
export async function sessionExec(
  request: SessionExecRequest,
  { sessions, limits, signal }: SessionExecContext,
): Promise<MessageInitShape<typeof ExecResultSchema>> {
  const stdout = new CappedOutput(limits.maxUnaryOutputBytes)
  const stderr = new CappedOutput(limits.maxUnaryOutputBytes)
  const result = await run(
    request,
    { sessions, limits, signal },
    {
      onStdout: (data) => stdout.add(data),
      onStderr: (data) => stderr.add(data),
    },
  )
  const outcome = { ...outcomeOf(result), stdout, stderr }
  if (result.timedOut) throw timedOut(parseTimeout(request.timeout, limits), outcome, limits)
  return execResult(outcome, limits.maxUnaryOutputBytes)
}

/** As `execStream`. The shell's output is taken no faster than the client takes ours. */
export async function* sessionExecStream(
  request: SessionExecRequest,
  context: SessionExecContext,
): AsyncGenerator<MessageInitShape<typeof ExecOutputSchema>> {
  const { limits } = context
  const pieces = new Handover<MessageInitShape<typeof ExecOutputSchema>>()
  const give = (type: ExecOutput_OutputType) => (data: Buffer) => pieces.give({ type, data })
  const running = run(request, context, {
    onStdout: give(ExecOutput_OutputType.STDOUT),
    onStderr: give(ExecOutput_OutputType.STDERR),
  }).finally(() => pieces.end())
  // Its failure is thrown below; until then it must not count as nobody's.
  running.catch(() => undefined)
  try {
    for (let piece = await pieces.take(); piece !== undefined; piece = await pieces.take()) yield piece
  } finally {
    pieces.end()
  }
  const result = await running
  if (result.timedOut) {
    throw timedOutSilently(parseTimeout(request.timeout, limits), outcomeOf(result), limits)
  }
  if (request.reportExit) yield { exit: { exitCode: result.exitCode, duration: durationOf(result.durationMs) } }
}

async function run(
  { sessionId, command, timeout }: SessionExecRequest,
  { sessions, limits, signal }: SessionExecContext,
  output: Pick<ShellRunOptions, 'onStdout' | 'onStderr'>,
): Promise<ShellResult> {
  checkShellCommand(command, limits)
  const timeoutMs = parseTimeout(timeout, limits)
  const { shell, running } = sessions.open(sessionId)
  running.beginCommand()
  try {
    const result = await runIn(shell, sessionId, command, { ...output, timeoutMs, signal })
    if (result.shellEnded) await sessions.closed(sessionId)
    return result
  } finally {
    running.endCommand()
  }
}

async function runIn(shell: Shell, id: string, command: string, options: ShellRunOptions): Promise<ShellResult> {
  try {
    return await shell.run(command, options)
  } catch (error) {
    if (!(error instanceof ShellError)) throw error
    throw new CroftError('FAILED_PRECONDITION', `session ${id} is closed: ${printable(error.message)}`, {
      reason: 'session_closed',
      cause: error,
    })
  }
}

function outcomeOf({ exitCode, durationMs }: ShellResult) {
  return { status: { code: exitCode }, durationMs }
}

/** From hand to hand: who gives waits until it is taken, so nothing piles up. After `end` all is dropped. */
class Handover<T> {
  readonly #offered: { readonly item: T; readonly taken: () => void }[] = []
  #ended = false
  #wake: () => void = () => undefined

  give(item: T): Promise<void> {
    if (this.#ended) return Promise.resolve()
    return new Promise((resolve) => {
      this.#offered.push({ item, taken: resolve })
      this.#wake()
    })
  }

  /** `undefined`: there will be no more. */
  async take(): Promise<T | undefined> {
    while (this.#offered.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const next = this.#offered.shift()
    next?.taken()
    return next?.item
  }

  end(): void {
    this.#ended = true
    this.#wake()
    for (const { taken } of this.#offered) taken()
  }
}
