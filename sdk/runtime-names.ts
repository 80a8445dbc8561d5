import { RuntimeType } from '../proto/index.ts'
import { InvalidArgumentError } from './errors.ts'

const TYPES = {
  bwrap: RuntimeType.BWRAP,
  docker: RuntimeType.DOCKER,
  podman: RuntimeType.PODMAN,
  gvisor: RuntimeType.GVISOR,
  qemu: RuntimeType.QEMU,
  firecracker: RuntimeType.FIRECRACKER,
  wasm: RuntimeType.WASM,
  kubernetes: RuntimeType.KUBERNETES,
  nomad: RuntimeType.NOMAD,
  apple: RuntimeType.APPLE,
} as const

export type RuntimeName = keyof typeof TYPES

export const RUNTIME_NAMES = Object.keys(TYPES) as readonly RuntimeName[]

/** In a request, `auto` too: the strongest that works on the server and can do what is asked for. */
export type RuntimeChoice = RuntimeName | 'auto'

export const RUNTIME_CHOICES: readonly RuntimeChoice[] = ['auto', ...RUNTIME_NAMES]

export function runtimeToWire(name: RuntimeChoice | undefined): RuntimeType {
  if (name === undefined) return RuntimeType.UNSPECIFIED
  if (name === 'auto') return RuntimeType.AUTO
  if (Object.hasOwn(TYPES, name)) return TYPES[name]
  throw new InvalidArgumentError(`There is no runtime ${JSON.stringify(name)}`, 'runtime', {
    remedy: `Choose one of ${RUNTIME_CHOICES.join(', ')}`,
  })
}

export function runtimeFromWire(type: RuntimeType): RuntimeName {
  return RUNTIME_NAMES.find((name) => TYPES[name] === type) ?? 'bwrap'
}
