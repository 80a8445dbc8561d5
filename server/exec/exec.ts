import type { MessageInitShape } from '@bufbuild/protobuf'
import type { ExecResultSchema } from '../../proto/index.ts'
import type { Limits } from '../config/limits.ts'
import type { Running } from '../sandboxes/running.ts'
import type { Command } from './command.ts'
import { timedOut, tooMuchOutput } from './ended-early.ts'
import { CappedOutput } from './output.ts'
import { isNotStarted, startProcess } from './process.ts'
import { quiet } from './quiet.ts'
import { execResult, notStartedResult } from './result.ts'

/**
 * Runs a command to its end and gives back what it printed, up to the cap. Throws DEADLINE_EXCEEDED with the
 * beginning of the output in the details when it ran out of time.
 */
export async function exec(
  running: Running,
  command: Command,
  { limits, signal }: { limits: Limits; signal: AbortSignal },
): Promise<MessageInitShape<typeof ExecResultSchema>> {
  const started = await startProcess(running, command, { limits, signal })
  if (isNotStarted(started)) return notStartedResult(started)

  const { process, startedAtMs } = started
  const stdout = new CappedOutput(limits.maxUnaryOutputBytes)
  const stderr = new CappedOutput(limits.maxUnaryOutputBytes)
  process.stdout.on('data', (chunk: Buffer) => stdout.add(chunk))
  process.stderr.on('data', (chunk: Buffer) => stderr.add(chunk))
  try {
    const status = await started.exited
    await quiet(process, limits.outputGraceMs)
    const durationMs = performance.now() - startedAtMs
    const outcome = { status, stdout, stderr, durationMs, oomKilled: started.oomKilled(status) }
    if (process.outputExceeded) throw tooMuchOutput(running, outcome, limits)
    if (started.timedOut()) throw timedOut(started.timeoutMs, outcome, limits)
    return execResult(outcome, limits.maxUnaryOutputBytes)
  } finally {
    started.done()
  }
}
