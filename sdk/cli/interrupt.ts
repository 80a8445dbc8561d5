import { AbortedError } from '../errors.ts'
import { EXIT_INTERRUPTED } from './exit-codes.ts'

/**
 * Runs `work` with a signal that the first Ctrl-C or SIGTERM fires, so that it can clean up. The second one
 * ends the process at once.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(EXIT_INTERRUPTED)
    controller.abort(new AbortedError('Interrupted'))
    process.stderr.write('\ncroft: cleaning up; press Ctrl-C again to leave at once\n')
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  try {
    return await work(controller.signal)
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}
