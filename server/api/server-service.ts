import type { ServerService } from '../../proto/index.ts'
import type { Probe, RuntimeName } from '../../runtimes/contract/runtime.ts'
import { packageVersion } from '../observability/version.ts'
import { runtimeType } from '../sandboxes/runtime-types.ts'
import type { Handlers } from './handlers.ts'

export interface ServerServiceDependencies {
  readonly instance: string
  readonly runtimes: readonly RuntimeName[]
  readonly probe: (runtime: RuntimeName) => Promise<Probe> | undefined
}

export function serverService({
  instance,
  runtimes,
  probe,
}: ServerServiceDependencies): Handlers<typeof ServerService> {
  const version = packageVersion()
  return {
    getServerInfo: async () => ({
      version,
      instance,
      pid: process.pid,
      runtimes: await Promise.all(
        runtimes.map(async (name) => {
          const found = await probe(name)
          const able = Object.entries(found?.capabilities ?? {}).flatMap(([ability, can]) => (can ? [ability] : []))
          return {
            type: runtimeType(name),
            available: found?.available ?? false,
            reason: found?.reason ?? '',
            capabilities: able,
          }
        }),
      ),
    }),
  }
}
