import { CheckpointMode, SandboxStatus, type Sandbox as WireSandbox } from '../proto/index.ts'
import { dateFrom } from './durations.ts'
import { type Resources, resourcesFromWire } from './resources.ts'
import { type Rule, ruleFromWire } from './rules.ts'
import { type RuntimeName, runtimeFromWire } from './runtime-names.ts'
import { type Network, networkFromWire } from './sandbox-spec.ts'
import { type SeccompProfile, seccompFromWire } from './seccomp-profiles.ts'

export interface SandboxInfo {
  readonly id: string
  readonly codebaseId: string
  readonly status: 'pending' | 'running' | 'stopped' | 'error'
  /** Why the status is `error`; empty otherwise. */
  readonly error: string
  /** Empty where there is none. */
  readonly preset: string
  /** All rules in force, those of the preset first. */
  readonly permissions: readonly Rule[]
  readonly labels: Readonly<Record<string, string>>
  readonly runtime: RuntimeName
  /** Empty where there is none. */
  readonly image: string
  readonly resources: Resources
  readonly seccomp: SeccompProfile
  readonly network: Network
  readonly createdAt?: Date
  readonly startedAt?: Date
  readonly stoppedAt?: Date
  readonly expiresAt?: Date
  /** Absent: none by itself. */
  readonly checkpoint?: 'each-command'
  /** SHA-256 of the root that the view is based on, in hex. */
  readonly baseRootHash: string
}

export function infoFromWire(sandbox: WireSandbox): SandboxInfo {
  return {
    id: sandbox.id,
    codebaseId: sandbox.codebaseId,
    status: STATUS_NAMES[sandbox.status],
    error: sandbox.error,
    preset: sandbox.preset,
    permissions: sandbox.permissions.map(ruleFromWire),
    labels: sandbox.labels,
    runtime: runtimeFromWire(sandbox.runtime),
    image: sandbox.image,
    resources: resourcesFromWire(sandbox.resources),
    seccomp: seccompFromWire(sandbox.seccomp),
    network: networkFromWire(sandbox.network),
    ...definedDates({
      createdAt: dateFrom(sandbox.createdAt),
      startedAt: dateFrom(sandbox.startedAt),
      stoppedAt: dateFrom(sandbox.stoppedAt),
      expiresAt: dateFrom(sandbox.expiresAt),
    }),
    ...(sandbox.checkpoint === CheckpointMode.EACH_COMMAND ? { checkpoint: 'each-command' as const } : {}),
    baseRootHash: Buffer.from(sandbox.baseRootHash).toString('hex'),
  }
}

const STATUS_NAMES: Record<SandboxStatus, SandboxInfo['status']> = {
  [SandboxStatus.UNSPECIFIED]: 'pending',
  [SandboxStatus.PENDING]: 'pending',
  [SandboxStatus.RUNNING]: 'running',
  [SandboxStatus.STOPPED]: 'stopped',
  [SandboxStatus.ERROR]: 'error',
}

type Dates = { [K in 'createdAt' | 'startedAt' | 'stoppedAt' | 'expiresAt']?: Date }

function definedDates(dates: { [K in keyof Dates]: Date | undefined }): Dates {
  return Object.fromEntries(Object.entries(dates).filter(([, date]) => date !== undefined))
}
