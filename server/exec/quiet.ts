import type { AgentProcess } from '../../runtimes/contract/agent.ts'
import { ended } from './output.ts'
import { MAX_GRACES } from './process.ts'

/**
 * The command is over, but what it started in the background may hold its output open for ever. Waits until the
 * output ends or has been silent for the grace, and for no more than a few of them; afterwards it is still read,
 * and thrown away, so that nobody in there is stopped by a full pipe or killed by a closed one.
 */
export function quiet(process: Pick<AgentProcess, 'stdout' | 'stderr'>, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, graceMs)
    const latest = performance.now() + graceMs * MAX_GRACES
    const stillTalking = () => {
      if (performance.now() < latest) timer.refresh()
    }
    process.stdout.on('data', stillTalking)
    process.stderr.on('data', stillTalking)
    void Promise.all([ended(process.stdout), ended(process.stderr)]).then(done)

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
