import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  CheckpointMode,
  type CreateSandboxRequestSchema,
  type NetworkPolicy,
  NetworkPolicy_Mode,
} from '../proto/index.ts'
import { durationFrom } from './durations.ts'
import { InvalidArgumentError } from './errors.ts'
import { type ImageProgress, type ImagePull, pullToWire } from './images.ts'
import { type Resources, resourcesToWire } from './resources.ts'
import { DEFAULT_PRESET, type Rules, rulesToWire } from './rules.ts'
import { type RuntimeChoice, runtimeToWire } from './runtime-names.ts'
import { type SeccompProfile, seccompToWire } from './seccomp-profiles.ts'
import type { ServerChoice } from './server.ts'

/** What a sandbox is to be, besides its files. */
export interface SandboxOptions {
  /** Rules to begin with. `null`: none, so everything is hidden. Default `agent-safe`. */
  readonly preset?: string | null
  /** Added after those of the preset, so that they win ties. */
  readonly permissions?: Rules
  /**
   * Default: the server's, which is bwrap. `auto`: the strongest that works there and can do what is asked for; with an
   * `image` an engine, else one that runs on the host's own `/usr`. `sandbox.info()` says which that is, and it stays so.
   */
  readonly runtime?: RuntimeChoice
  /**
   * For `docker` and `podman`, which need one: a name as those have it, or `docker-archive:/…` or `oci-archive:/…` for a
   * file of the server's host. Its `USER` and `ENTRYPOINT` are ignored.
   */
  readonly image?: string
  /** Whether it is taken from its registry. Default `missing`: where the engine has none of that name. */
  readonly pull?: ImagePull
  /** Told while the image is fetched. */
  readonly onImage?: (progress: ImageProgress) => void
  /** What is absent is not limited, but by the server. */
  readonly resources?: Resources
  /**
   * Which system calls its programs have. `strict`: no debuggers, System V objects or lists of interfaces; `off`: all,
   * where the server allows that. Default: the server's, which is `default`.
   */
  readonly seccomp?: SeccompProfile
  /**
   * `off`: a loop-back of its own only. A list: these hosts, as `host`, `host:port`, `*.domain` or an address, through a
   * proxy that is in the environment inside; without a port 80 and 443. Default `off`.
   */
  readonly network?: Network
  /** Keep what it is before each command that follows a change, for `rollback`. Default: not. */
  readonly checkpoint?: 'each-command'
  readonly labels?: Readonly<Record<string, string>>
  /** Milliseconds after which the server destroys the sandbox. Default: never. */
  readonly timeoutMs?: number
  /** Start it too. Default true. */
  readonly start?: boolean
  /** Aborts the making; a sandbox that was made already is destroyed. */
  readonly signal?: AbortSignal
  /** Default: CROFT_SERVER, or this user's own server, which is started where it does not run. */
  readonly server?: ServerChoice
}

export type Network = 'off' | 'full' | { readonly allow: readonly string[] }

/** Throws an `InvalidArgumentError` naming the option. */
export function createRequest(
  source: { readonly codebaseId: string } | { readonly snapshotId: string },
  options: SandboxOptions,
): MessageInitShape<typeof CreateSandboxRequestSchema> {
  const { network, resources, timeoutMs } = options
  return {
    ...source,
    permissions: rulesToWire(options.permissions),
    preset: presetToWire(options.preset),
    labels: { ...options.labels },
    runtime: runtimeToWire(options.runtime),
    image: options.image ?? '',
    imagePull: pullToWire(options.pull),
    seccomp: seccompToWire(options.seccomp),
    checkpoint: checkpointToWire(options.checkpoint),
    start: options.start ?? true,
    ...(timeoutMs === undefined ? {} : { expiresIn: durationFrom(timeoutMs, 'timeoutMs') }),
    ...(resources === undefined ? {} : { resources: resourcesToWire(resources) }),
    ...(network === undefined ? {} : { network: networkToWire(network) }),
  }
}

function checkpointToWire(mode: SandboxOptions['checkpoint']): CheckpointMode {
  if (mode === undefined) return CheckpointMode.UNSPECIFIED
  if (mode === 'each-command') return CheckpointMode.EACH_COMMAND
  throw new InvalidArgumentError('checkpoint must be each-command, or absent', 'checkpoint')
}

export function presetToWire(preset: string | null | undefined): string {
  return preset === null ? '' : (preset ?? DEFAULT_PRESET)
}

function networkToWire(network: Network) {
  if (network === 'off') return { mode: NetworkPolicy_Mode.OFF }
  if (network === 'full') return { mode: NetworkPolicy_Mode.FULL }
  if (typeof network === 'object' && Array.isArray(network.allow)) {
    return { mode: NetworkPolicy_Mode.ALLOW_LIST, allow: [...network.allow] }
  }
  throw new InvalidArgumentError('network must be off, full or { allow: [hosts] }', 'network')
}

export function networkFromWire(policy: NetworkPolicy | undefined): Network {
  if (policy?.mode === NetworkPolicy_Mode.ALLOW_LIST) return { allow: policy.allow }
  return policy?.mode === NetworkPolicy_Mode.FULL ? 'full' : 'off'
}
