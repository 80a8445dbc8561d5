import type { MessageInitShape } from '@bufbuild/protobuf'
import type { ExecResultSchema } from '../../proto/index.ts'
import type { AgentProcess } from '../../runtimes/contract/agent.ts'
import type { Limits } from '../config/limits.ts'
import type { Running } from '../sandboxes/running.ts'
import type { Command } from './command.ts'
import { timedOut, tooMuchOutput } from './ended-early.ts'
import { CappedOutput, ended } from './output.ts'
import { isNotStarted, MAX_GRACES, startProcess } from './process.ts'
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
  const outputEnded = Promise.all([ended(process.stdout), ended(process.stderr)])
  try {
    const status = await started.exited
    await quiet(process, outputEnded, limits.outputGraceMs)
    const durationMs = performance.now() - startedAtMs
    const outcome = { status, stdout, stderr, durationMs, oomKilled: await started.oomKilled(status) }
    if (process.outputExceeded) throw tooMuchOutput(running, outcome, limits)
    if (started.timedOut()) throw timedOut(started.timeoutMs, outcome, limits)
    return execResult(outcome, limits.maxUnaryOutputBytes)
  } finally {
    started.done()
  }
}

/**
 * The command is over, but what it started in the background may hold its output open for ever. Waits until the
 * output ends or has been silent for the grace, and for no more than a few of them; afterwards it is still read,
 * and thrown away, so that nobody in there is stopped by a full pipe or killed by a closed one.
 */
function quiet(process: AgentProcess, outputEnded: Promise<unknown>, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, graceMs)
    const latest = performance.now() + graceMs * MAX_GRACES
    const stillTalking = () => {
      if (performance.now() < latest) timer.refresh()
    }
    process.stdout.on('data', stillTalking)
    process.stderr.on('data', stillTalking)
    void outputEnded.then(done)

    function done(): void {
      clearTimeout(timer)
      for (const stream of [process.stdout, process.stderr]) {
        stream.removeAllListeners('data')
        stream.resume()
      }
      resolve()
    }
  })
}
