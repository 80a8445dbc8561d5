import type { Choice, DeviceCapabilities } from '../../fs-layer/index.ts'
import type { ServerService } from '../../proto/index.ts'
import type { Probe, RuntimeName } from '../../runtimes/contract/runtime.ts'
import { packageVersion } from '../observability/version.ts'
import { runtimeType } from '../sandboxes/runtime-types.ts'
import type { Handlers } from './handlers.ts'

export interface ServerServiceDependencies {
  readonly instance: string
  readonly runtimes: readonly RuntimeName[]
  /** How views are mounted, and why so. */
  readonly filesystem: Choice & { readonly capabilities: DeviceCapabilities }
  readonly probe: (runtime: RuntimeName) => Promise<Probe> | undefined
}

export function serverService({
  instance,
  runtimes,
  probe,
  filesystem,
}: ServerServiceDependencies): Handlers<typeof ServerService> {
  const version = packageVersion()
  const { device, able, reason } = filesystem
  return {
    getServerInfo: async () => ({
      version,
      instance,
      pid: process.pid,
      filesystem: { device, available: able, reason, capabilities: abilities({ ...filesystem.capabilities }) },
      runtimes: await Promise.all(
        runtimes.map(async (name) => {
          const found = await probe(name)
          return {
            type: runtimeType(name),
            available: found?.available ?? false,
            reason: found?.reason ?? '',
            capabilities: abilities({ ...found?.capabilities }),
          }
        }),
      ),
    }),
  }
}

function abilities(capabilities: Readonly<Record<string, boolean>>): string[] {
  return Object.entries(capabilities).flatMap(([ability, can]) => (can ? [ability] : []))
}
