import type { JsonValue } from '@bufbuild/protobuf'
import type { Quota } from '../../fs-layer/delta/usage.ts'
import type { Rule } from '../../fs-layer/policy/rule.ts'
import type { Hash } from '../../fs-layer/store/objects.ts'
import type { ImagePull, LaunchSpec, RuntimeName } from '../../runtimes/contract/runtime.ts'
import type { SeccompName } from '../../runtimes/seccomp/filter.ts'
import type { RoleName } from '../access/caller.ts'
import type { ArchiveRequest } from '../exports/archive-of.ts'
import type { DestinationRecord } from '../exports/destination.ts'
import type { NetworkUse } from '../network/network-trail.ts'
import type { SandboxLimits } from '../sandboxes/resource-limits.ts'
import type { MadeBy } from './once.ts'

/** Times are milliseconds since 1970. `sequence` gives the order in which things were made. */
interface RecordBase {
  readonly id: string
  readonly sequence: number
  readonly createdAtMs: number
  /** Where its maker chose a key. */
  readonly madeBy?: MadeBy
}

export interface CodebaseRecord extends RecordBase {
  readonly name: string
  readonly ownerId: string
  readonly root: Hash
  readonly updatedAtMs: number
}

/** `destroyed` is seen only by a server that was killed half-way: it then finishes the work. */
export type SandboxStatus = 'pending' | 'running' | 'stopped' | 'error' | 'destroyed'

export interface SandboxRecord extends RecordBase {
  /** Where it came from by way of a snapshot, the codebase may be gone. */
  readonly codebaseId: string
  /** Whose it is. Absent in records of before there were owners: that of the codebase. */
  readonly owner?: string
  /** The version that the view is based on, until another one is restored. */
  readonly base: Hash
  /** The version that it began with, or that what it was forked from did; absent: `base`. */
  readonly origin?: Hash
  /** How often one was; its changes since are a delta of their own. Absent: never. */
  readonly restored?: number
  readonly preset: string
  /** All in force, those of the preset first. */
  readonly rules: readonly Rule[]
  readonly labels: Readonly<Record<string, string>>
  readonly runtime: RuntimeName
  readonly image?: string
  /** Absent in records of before there was a choice: `missing`. */
  readonly pull?: ImagePull
  /** As asked for. */
  readonly limits: SandboxLimits
  /** Absent in records of before there were quotas: none. */
  readonly quota?: Quota
  /** Absent in records of before there were filters: `default`. */
  readonly seccomp?: SeccompName
  /** Absent in records of before there were any: off. */
  readonly network?: LaunchSpec['network']
  /** Absent: none by itself. */
  readonly checkpoint?: 'each-command'
  readonly status: SandboxStatus
  readonly startedAtMs?: number
  readonly stoppedAtMs?: number
  readonly expiresAtMs?: number
  /** Why the status is `error`. */
  readonly error?: string
}

/** A version that is kept under an id of its own. Of which sandbox and codebase it is, whether they still exist or not. */
export interface SnapshotRecord extends RecordBase {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly sandboxId: string
  readonly codebaseId: string
  /** That of the sandbox; absent in records of before there were owners. */
  readonly owner?: string
  readonly root: Hash
  /** What the sandbox was based on, and, where that is another one, what it had begun with. */
  readonly base: Hash
  readonly origin?: Hash
  readonly bytes: number
  readonly files: number
  /** FIFOs and sockets that are not in it. */
  readonly skipped: number
  /** Those of the sandbox when it was made. Absent in records of before they were kept. */
  readonly rules?: readonly Rule[]
}

/** What a sandbox was before something changed it. */
export interface CheckpointRecord extends RecordBase {
  readonly sandboxId: string
  readonly root: Hash
  readonly bytes: number
  readonly files: number
  readonly reason: 'command' | 'rollback' | 'discard'
  /** The beginning of it, where it was one. */
  readonly command: string
}

/** As of the sandbox's last stop; `id` is the sandbox's. */
export interface NetworkTrailRecord {
  readonly id: string
  readonly sequence: number
  readonly uses: readonly NetworkUse[]
}

export interface SessionRecord extends RecordBase {
  readonly sandboxId: string
  readonly shell: string
  readonly status: 'active' | 'closed'
  readonly closedAtMs?: number
}

/** An archive that the server writes by itself, and the version that it is of. */
export interface ExportJobRecord extends RecordBase {
  /** The id of what it is of. */
  readonly source: string
  readonly request: Omit<ArchiveRequest, 'rules'> & { readonly rules?: readonly Rule[] }
  readonly destination: DestinationRecord
  readonly status: 'queued' | 'running' | 'done' | 'failed' | 'cancelled'
  readonly contentsBytes: number
  /** Begun so often. */
  readonly attempts: number
  /** The name of the schedule that started it. */
  readonly schedule?: string
  readonly startedAtMs?: number
  readonly endedAtMs?: number
  /** Of one that is done. */
  readonly size?: number
  readonly sha256?: string
  /** Of one that failed. */
  readonly error?: string
}

/** When a sandbox is exported by itself; `id` is that of the sandbox and its name. */
export interface ExportScheduleRecord extends RecordBase {
  readonly sandboxId: string
  readonly name: string
  /** `ExportSpec` in the JSON of protocol buffers, its source the sandbox. */
  readonly spec: JsonValue
  readonly destination: DestinationRecord
  readonly everyMinutes: number
  readonly onStop: boolean
  readonly onDestroy: boolean
  readonly lastAtMs?: number
  readonly error?: string
}

/** What is known of a token but its secret. */
export interface TokenRecord extends RecordBase {
  readonly name: string
  readonly owner: string
  readonly role: RoleName
  /** SHA-256 of the secret, in hex. */
  readonly hash: string
  readonly expiresAtMs?: number
  readonly rotatedAtMs?: number
  /** The secret before the last rotation, as long as it is taken. */
  readonly before?: { readonly hash: string; readonly untilMs: number }
}
