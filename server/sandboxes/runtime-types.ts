import { RuntimeType } from '../../proto/index.ts'
import type { RuntimeName } from '../../runtimes/contract/runtime.ts'

const NAMES: Readonly<Partial<Record<RuntimeType, RuntimeName>>> = {
  [RuntimeType.BWRAP]: 'bwrap',
  [RuntimeType.DOCKER]: 'docker',
  [RuntimeType.PODMAN]: 'podman',
  [RuntimeType.GVISOR]: 'gvisor',
  [RuntimeType.QEMU]: 'qemu',
  [RuntimeType.FIRECRACKER]: 'firecracker',
  [RuntimeType.WASM]: 'wasm',
  [RuntimeType.KUBERNETES]: 'kubernetes',
  [RuntimeType.NOMAD]: 'nomad',
}

/** `undefined`: a number that this server knows no runtime for. */
export function runtimeName(type: RuntimeType): RuntimeName | undefined {
  return NAMES[type]
}

export function runtimeType(name: RuntimeName): RuntimeType {
  const found = Object.entries(NAMES).find(([, known]) => known === name)
  return found === undefined ? RuntimeType.UNSPECIFIED : (Number(found[0]) as RuntimeType)
}
