import type { MessageInitShape } from '@bufbuild/protobuf'
import { ExecOutput_OutputType, type ExecOutputSchema } from '../../proto/index.ts'
import type { AgentProcess } from '../../runtimes/contract/agent.ts'
import type { Limits } from '../config/limits.ts'
import type { Running } from '../sandboxes/running.ts'
import type { Command } from './command.ts'
import { timedOutSilently, tooMuchOutput, withoutOutput } from './ended-early.ts'
import { mergedOutput } from './merged-output.ts'
import { isNotStarted, startProcess } from './process.ts'
import { execExit } from './result.ts'

export interface StreamContext {
  readonly limits: Limits
  readonly signal: AbortSignal
  /** End with one message that has `exit` set. */
  readonly reportExit: boolean
  /** Called when the command has started. */
  readonly onStart?: (process: AgentProcess, kill: () => void) => void
}

/**
 * Runs a command and gives its output as it comes, at the pace at which it is taken. Throws DEADLINE_EXCEEDED
 * after the last of it when it ran out of time,
 * RESOURCE_EXHAUSTED when it printed more than it may.
 */
export async function* execStream(
  running: Running,
  command: Command,
  { limits, signal, reportExit, onStart }: StreamContext,
): AsyncGenerator<MessageInitShape<typeof ExecOutputSchema>> {
  const started = await startProcess(running, command, { limits, signal })
  if (isNotStarted(started)) {
    yield { type: ExecOutput_OutputType.STDERR, data: Buffer.from(started.message) }
    if (reportExit) yield { exit: { exitCode: started.exitCode } }
    return
  }
  const { process, startedAtMs } = started
  try {
    onStart?.(process, started.kill)
    yield* mergedOutput(process, started.exited, limits.outputGraceMs)
    const status = await started.exited
    const durationMs = performance.now() - startedAtMs
    // The output itself has gone out already.
    if (process.outputExceeded) throw tooMuchOutput(running, withoutOutput({ status, durationMs }), limits)
    if (started.timedOut()) throw timedOutSilently(started.timeoutMs, { status, durationMs }, limits)
    signal.throwIfAborted()
    if (reportExit) yield { exit: execExit({ status, durationMs, oomKilled: started.oomKilled(status) }) }
  } finally {
    // Left early, because nobody reads any more: then the command has no purpose.
    if (signal.aborted) started.kill()
    started.done()
  }
}
