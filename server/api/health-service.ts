import { setTimeout as delay } from 'node:timers/promises'
import { type Health, HealthCheckResponse_ServingStatus as ServingStatus } from '../../proto/index.ts'
import { CroftError, printable } from '../errors/croft-error.ts'
import type { Handlers } from './handlers.ts'

/** How late a watcher is told of a change. */
const LOOK_MS = 1000

export interface HealthServiceDependencies {
  /** Full names, the empty one for the server as a whole. */
  readonly services: () => ReadonlySet<string>
  readonly isReady: () => Promise<boolean>
}

/** All services are served, or none is. */
export function healthService({ services, isReady }: HealthServiceDependencies): Handlers<typeof Health> {
  const statusNow = async () => ((await isReady()) ? ServingStatus.SERVING : ServingStatus.NOT_SERVING)
  return {
    check: async ({ service }) => {
      if (service !== '' && !services().has(service)) {
        throw new CroftError('NOT_FOUND', `there is no service ${printable(service)}`)
      }
      return { status: await statusNow() }
    },

    async *watch({ service }, { signal }) {
      const isKnown = service === '' || services().has(service)
      let told: ServingStatus | undefined
      for (;;) {
        const status = isKnown ? await statusNow() : ServingStatus.SERVICE_UNKNOWN
        if (status !== told) yield { status }
        told = status
        await delay(LOOK_MS, undefined, { signal }).catch(() => signal.throwIfAborted())
      }
    },
  }
}
