import type { Choice, DeviceCapabilities } from '../../fs-layer/index.ts'
import type { ServerService } from '../../proto/index.ts'
import type { Probe, RuntimeName } from '../../runtimes/contract/runtime.ts'
import { packageVersion } from '../observability/version.ts'
import { runtimeType } from '../sandboxes/runtime-types.ts'
import type { Handlers } from './handlers.ts'
import { restrictionsOf } from './restrictions.ts'

export interface ServerServiceDependencies {
  readonly instance: string
  readonly runtimes: readonly RuntimeName[]
  /** How views are mounted, and why so. */
  readonly filesystem: Choice & { readonly capabilities: DeviceCapabilities }
  readonly isRoot: boolean
  readonly probe: (runtime: RuntimeName) => Promise<Probe> | undefined
}

export function serverService({
  instance,
  runtimes,
  probe,
  filesystem,
  isRoot,
}: ServerServiceDependencies): Handlers<typeof ServerService> {
  const version = packageVersion()
  const { device, able, reason } = filesystem
  return {
    getServerInfo: async () => {
      const probes = await Promise.all(runtimes.map(async (name) => [name, await probe(name)] as const))
      const found = probes.flatMap(([name, probed]) => (probed === undefined ? [] : [[name, probed] as const]))
      return {
        version,
        instance,
        pid: process.pid,
        filesystem: { device, available: able, reason, capabilities: abilities({ ...filesystem.capabilities }) },
        runtimes: found.map(
          ([name, { available, reason: why = '', version: itsOwn = '', remedy = '', capabilities }]) => ({
            type: runtimeType(name),
            available,
            reason: why,
            capabilities: abilities({ ...capabilities }),
            version: itsOwn,
            remedy,
          }),
        ),
        restrictions: restrictionsOf({ isRoot, device, canMount: able, runtimes: found }),
      }
    },
  }
}

function abilities(capabilities: Readonly<Record<string, boolean>>): string[] {
  return Object.entries(capabilities).flatMap(([ability, can]) => (can ? [ability] : []))
}
