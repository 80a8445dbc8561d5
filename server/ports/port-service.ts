import type { PortService } from '../../proto/index.ts'
import type { Handlers } from '../api/handlers.ts'
import { deferred } from '../concurrency/deferred.ts'
import type { Limits } from '../config/limits.ts'
import { notRunning } from '../errors/croft-error.ts'
import type { Sandboxes } from '../sandboxes/sandboxes.ts'
import { checkPort, connectPort } from './connect-port.ts'

export function portService({
  sandboxes,
  limits,
}: {
  sandboxes: Sandboxes
  limits: Limits
}): Handlers<typeof PortService> {
  return {
    async *exposePort({ sandboxId, port }, { signal }) {
      checkPort(port, 'port')
      const running = sandboxes.running(sandboxId)
      const { promise: ended, resolve: end } = deferred<void>()
      const atEnd = async () => end()
      running.atEnd.add(atEnd)
      signal.addEventListener('abort', () => end(), { once: true })
      try {
        yield {}
        await ended
        signal.throwIfAborted()
        throw notRunning(sandboxId, 'stopping')
      } finally {
        running.atEnd.delete(atEnd)
      }
    },

    connectPort: (requests, { signal }) => connectPort(requests, (id) => sandboxes.running(id), { limits, signal }),
  }
}
