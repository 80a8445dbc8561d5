import { type BwrapOptions, createBwrapRuntime } from './bwrap/runtime.ts'
import type { Runtime, RuntimeName } from './contract/runtime.ts'
import { createOciRuntime, type OciOptions } from './oci/runtime.ts'

export interface RuntimesOptions {
  readonly bwrap: BwrapOptions
  readonly docker: Omit<OciOptions, 'name'>
  readonly podman: Omit<OciOptions, 'name'>
}

/** Every runtime there is, by name. Nothing is started or tried. */
export function createRuntimes(options: RuntimesOptions): ReadonlyMap<RuntimeName, Runtime> {
  const runtimes = [
    createBwrapRuntime(options.bwrap),
    ...(['docker', 'podman'] as const).map((name) => createOciRuntime({ name, ...options[name] })),
    createOciRuntime({ name: 'gvisor', ...options.docker }),
  ]
  return new Map(runtimes.map((runtime) => [runtime.name, runtime]))
}
