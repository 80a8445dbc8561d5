import { durationMs } from '@bufbuild/protobuf/wkt'
import type { Quota } from '../../fs-layer/delta/usage.ts'
import type { DeviceCapabilities } from '../../fs-layer/index.ts'
import type { PresetRegistry } from '../../fs-layer/policy/presets.ts'
import {
  CheckpointMode,
  type CreateSandboxRequest,
  ImagePull as ImagePullMessage,
  type ResourceLimits as ResourceLimitsMessage,
  RuntimeType,
} from '../../proto/index.ts'
import { parseImageName } from '../../runtimes/contract/image-name.ts'
import type { ImagePull, Probe, RuntimeName } from '../../runtimes/contract/runtime.ts'
import { needsImage } from '../../runtimes/contract/strength.ts'
import type { SeccompName } from '../../runtimes/seccomp/filter.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import type { Networks } from '../network/networks.ts'
import { type Network, parseNetwork } from '../network/parse-network.ts'
import { checkId } from '../records/ids.ts'
import type { SandboxRecord } from '../records/record-types.ts'
import { chooseRuntime } from './choose-runtime.ts'
import { parseRules } from './permissions.ts'
import { checkAbilities, parseResources, type SandboxLimits } from './resource-limits.ts'
import { runtimeName } from './runtime-types.ts'
import { parseSeccomp } from './seccomp.ts'

export type SandboxSpec = Pick<
  SandboxRecord,
  | 'codebaseId'
  | 'preset'
  | 'rules'
  | 'labels'
  | 'runtime'
  | 'image'
  | 'pull'
  | 'limits'
  | 'quota'
  | 'seccomp'
  | 'network'
  | 'checkpoint'
> & { readonly expiresInMs?: number /** Instead of a codebase. */; readonly snapshotId?: string }

export interface CreateContext {
  readonly networks: Pick<Networks, 'checkAllowed'>
  readonly limits: Limits
  readonly presets: PresetRegistry
  readonly defaultRuntime: RuntimeName | 'auto'
  readonly seccomp: SeccompName
  /** `undefined`: this server has no such runtime. */
  readonly probe: (runtime: RuntimeName) => Promise<Probe> | undefined
  /** What the device, through which views are mounted, can. */
  readonly device: Pick<DeviceCapabilities, 'bandwidth'>
}

/** Everything about the request that can be told wrong before anything is made. */
export async function parseCreateRequest(request: CreateSandboxRequest, context: CreateContext): Promise<SandboxSpec> {
  const { limits } = context
  const source = parseSource(request)
  const rules = parseRules(request.preset, request.permissions, { presets: context.presets, maxRules: limits.maxRules })
  const labels = parseLabels(request.labels, limits)
  const resources = parseResources(request.resources, limits)
  const image = parseImage(request.image, limits)
  const expiresInMs = request.expiresIn === undefined ? undefined : durationMs(request.expiresIn)
  if (expiresInMs !== undefined && !(expiresInMs > 0)) throw invalid('expires_in', 'must be more than 0')

  const network = parseNetwork(request.network, limits)
  context.networks.checkAllowed(network)
  const fits = (runtime: RuntimeName, probe: Probe) => {
    checkWishes({ image, resources, network }, runtime, probe, context.device)
    return { runtime, seccomp: parseSeccomp(request.seccomp, { least: context.seccomp, runtime, probe }) }
  }
  const wanted = parseRuntime(request.runtime, context.defaultRuntime)
  const chosen =
    wanted === 'auto'
      ? await chooseRuntime({ image, probe: context.probe }, fits)
      : fits(wanted, await probeOf(wanted, context))

  return {
    ...source,
    preset: request.preset,
    rules,
    labels,
    ...chosen,
    limits: resources,
    quota: parseQuota(request.resources, limits),
    network,
    ...parseCheckpoint(request.checkpoint),
    ...(image === '' ? {} : { image, pull: parsePull(request.imagePull) }),
    ...(expiresInMs === undefined ? {} : { expiresInMs }),
  }
}

function parseSource({ codebaseId, snapshotId }: CreateSandboxRequest) {
  if (snapshotId === '') return { codebaseId: checkId('cb', codebaseId, 'codebase_id') }
  if (codebaseId !== '') throw invalid('snapshot_id', 'and `codebase_id` cannot both be given')
  return { codebaseId, snapshotId: checkId('snap', snapshotId, 'snapshot_id') }
}

function parseCheckpoint(mode: CheckpointMode): Pick<SandboxRecord, 'checkpoint'> {
  if (mode === CheckpointMode.UNSPECIFIED) return {}
  if (mode === CheckpointMode.EACH_COMMAND) return { checkpoint: 'each-command' }
  throw unsupported('checkpoint', `this server knows no mode of the number ${mode}`)
}

async function probeOf(runtime: RuntimeName, context: CreateContext): Promise<Probe> {
  const probe = await context.probe(runtime)
  if (probe === undefined) throw unsupported('runtime', `this server has no runtime ${runtime}`)
  return probe
}

function parseRuntime(type: RuntimeType, fallback: RuntimeName | 'auto'): RuntimeName | 'auto' {
  if (type === RuntimeType.UNSPECIFIED) return fallback
  if (type === RuntimeType.AUTO) return 'auto'
  const name = runtimeName(type)
  if (name === undefined) throw unsupported('runtime', `this server knows no runtime of the number ${type}`)
  return name
}

export function parseLabels(labels: Readonly<Record<string, string>>, limits: Limits): Record<string, string> {
  const entries = Object.entries(labels)
  if (entries.length > limits.maxLabels)
    throw invalid('labels', `are ${entries.length}, over the limit of ${limits.maxLabels}`)
  for (const [key, value] of entries) {
    if (key === '') throw invalid('labels', 'contain an empty key')
    if (Buffer.byteLength(key) > limits.maxLabelKeyBytes) {
      throw invalid('labels', `contain a key longer than ${limits.maxLabelKeyBytes} bytes`)
    }
    if (Buffer.byteLength(value) > limits.maxLabelValueBytes) {
      throw invalid('labels', `contain a value longer than ${limits.maxLabelValueBytes} bytes`)
    }
  }
  return labels
}

function parseImage(image: string, limits: Limits): string {
  if (Buffer.byteLength(image) > limits.maxNameBytes)
    throw invalid('image', `is longer than ${limits.maxNameBytes} bytes`)
  if (image !== '' && parseImageName(image) === undefined) {
    throw invalid(
      'image',
      'is no name of an image: registry/name:tag, name@sha256:…, docker-archive:/… or oci-archive:/…',
    )
  }
  return image
}

const PULLS: Readonly<Partial<Record<ImagePullMessage, ImagePull>>> = {
  [ImagePullMessage.UNSPECIFIED]: 'missing',
  [ImagePullMessage.NEVER]: 'never',
  [ImagePullMessage.MISSING]: 'missing',
  [ImagePullMessage.ALWAYS]: 'always',
}

function parsePull(message: ImagePullMessage): ImagePull {
  const pull = PULLS[message]
  if (pull === undefined) throw unsupported('image_pull', `this server knows no way of the number ${message}`)
  return pull
}

/** 0 is the value of a field that was not set: the server's default. */
function parseQuota(message: ResourceLimitsMessage | undefined, limits: Limits): Quota {
  const bytes = natural(message?.diskBytes ?? 0n, 'resources.disk_bytes') || limits.diskBytesPerSandbox
  const inodes = natural(message?.inodes ?? 0n, 'resources.inodes') || limits.inodesPerSandbox
  const most = limits.maxDiskBytesPerSandbox
  if (most !== 0 && (bytes === 0 || bytes > most)) throw invalid('resources.disk_bytes', `must be at most ${most}`)
  if (inodes > limits.maxInodesPerSandbox) {
    throw invalid('resources.inodes', `must be at most ${limits.maxInodesPerSandbox}`)
  }
  return { ...(bytes === 0 ? {} : { bytes }), inodes }
}

function natural(value: bigint, field: string): number {
  if (value < 0n) throw invalid(field, 'must not be negative')
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid(field, `must be at most ${Number.MAX_SAFE_INTEGER}`)
  return Number(value)
}

interface Wishes {
  readonly image: string
  readonly resources: SandboxLimits
  readonly network: Network
}

/** What the runtime cannot do is refused now, not when the sandbox starts. */
function checkWishes(
  { image, resources, network }: Wishes,
  runtime: RuntimeName,
  probe: Probe,
  device: CreateContext['device'],
): void {
  if (image === '' && needsImage(runtime)) {
    throw invalid('image', `is missing: name one that ${runtime} has`)
  }
  // Of a runtime that does not run here nothing is known; starting the sandbox says why.
  if (!probe.available) return
  if (network.mode === 'allow-list' && !probe.capabilities.networkAllowList) {
    throw unsupported('network.mode', `runtime ${runtime} cannot give sandboxes an allow-list of hosts on this host`)
  }
  if (network.mode === 'full' && !probe.capabilities.networkFull) {
    const why = probe.lacks?.networkFull === undefined ? '' : `: ${probe.lacks.networkFull}`
    throw unsupported('network.mode', `runtime ${runtime} cannot give sandboxes the whole network on this host${why}`)
  }
  if (image !== '' && !probe.capabilities.image) {
    throw unsupported('image', `runtime ${runtime} cannot use images on this host`)
  }
  checkAbilities(resources, runtime, { ...probe.capabilities, bandwidth: device.bandwidth })
}

function unsupported(field: string, problem: string): CroftError {
  return new CroftError('UNIMPLEMENTED', `${field}: ${problem}`, { field, reason: 'unsupported' })
}
