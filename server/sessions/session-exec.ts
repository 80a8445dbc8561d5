import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  ExecOutput_OutputType,
  type ExecOutputSchema,
  type ExecResultSchema,
  type SessionExecRequest,
} from '../../proto/index.ts'
import { type Shell, ShellError, type ShellResult, type ShellRunOptions } from '../../runtimes/agent/shell.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, printable } from '../errors/croft-error.ts'
import { checkShellCommand } from '../exec/command.ts'
import { timedOut, timedOutSilently } from '../exec/ended-early.ts'
import { watchOom } from '../exec/oom.ts'
import { CappedOutput } from '../exec/output.ts'
import { execExit, execResult } from '../exec/result.ts'
import { parseTimeout, timeoutWithin } from '../exec/timeout.ts'
import type { Running } from '../sandboxes/running.ts'
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
  if (result.timedOut) throw timedOut(result.timeoutMs, outcome, limits)
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
    throw timedOutSilently(result.timeoutMs, outcomeOf(result), limits)
  }
  if (request.reportExit) yield { exit: execExit(outcomeOf(result)) }
}

type SessionResult = ShellResult & { readonly timeoutMs: number; readonly oomKilled: boolean }

async function run(
  { sessionId, command, timeout }: SessionExecRequest,
  { sessions, limits, signal }: SessionExecContext,
  output: Pick<ShellRunOptions, 'onStdout' | 'onStderr'>,
): Promise<SessionResult> {
  checkShellCommand(command, limits)
  const wanted = parseTimeout(timeout, limits)
  const { shell, running } = sessions.open(sessionId)
  const timeoutMs = timeoutWithin(wanted, running)
  running.beginCommand()
  const oomKilled = watchOom(running)
  try {
    await running.prepareCommand(command)
    const result = await runIn(shell, sessionId, command, { timeoutMs, ...limitedOutput(output, running, signal) })
    if (result.shellEnded) await sessions.closed(sessionId)
    return { ...result, timeoutMs, oomKilled: oomKilled({ code: result.exitCode }) }
  } finally {
    running.endCommand()
  }
}

/** What goes beyond the sandbox's limit is dropped, and the command interrupted, with which the call fails. */
function limitedOutput(
  output: Pick<ShellRunOptions, 'onStdout' | 'onStderr'>,
  running: Running,
  signal: AbortSignal,
): Pick<ShellRunOptions, 'onStdout' | 'onStderr' | 'signal'> {
  const { outputBytes } = running.limits
  if (outputBytes === undefined) return { ...output, signal }
  const exceeded = new AbortController()
  let left = outputBytes
  const limited = (give: ShellRunOptions['onStdout']) => (data: Buffer) => {
    const kept = data.subarray(0, left)
    left -= kept.length
    if (kept.length < data.length && !exceeded.signal.aborted) {
      const message = `the command printed more than ${outputBytes} bytes, which is the sandbox's limit, and was interrupted`
      exceeded.abort(new CroftError('RESOURCE_EXHAUSTED', message, { reason: 'output_limit' }))
    }
    return kept.length === 0 ? undefined : give?.(kept)
  }
  return {
    onStdout: limited(output.onStdout),
    onStderr: limited(output.onStderr),
    signal: AbortSignal.any([signal, exceeded.signal]),
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

function outcomeOf({ exitCode, durationMs, used, oomKilled }: SessionResult) {
  return { status: { code: exitCode, ...used }, durationMs, oomKilled }
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
