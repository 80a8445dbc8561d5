import { type BwrapOptions, createBwrapRuntime } from './bwrap/runtime.ts'
import type { Runtime, RuntimeName } from './contract/runtime.ts'

export interface RuntimesOptions {
  readonly bwrap: BwrapOptions
}

/** Every runtime there is, by name. Nothing is started or tried. */
export function createRuntimes(options: RuntimesOptions): ReadonlyMap<RuntimeName, Runtime> {
  const runtimes = [createBwrapRuntime(options.bwrap)]
  return new Map(runtimes.map((runtime) => [runtime.name, runtime]))
}
