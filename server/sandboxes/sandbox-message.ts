import type { MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { CheckpointMode, ImagePull, type SandboxSchema, SandboxStatus } from '../../proto/index.ts'
import { durationOf } from '../api/wire-time.ts'
import { networkMessage } from '../network/parse-network.ts'
import type { SandboxRecord } from '../records/record-types.ts'
import { ruleMessage } from './permissions.ts'
import { runtimeType } from './runtime-types.ts'

export function sandboxMessage(record: SandboxRecord): MessageInitShape<typeof SandboxSchema> {
  const { limits, quota = {} } = record
  return {
    id: record.id,
    codebaseId: record.codebaseId,
    permissions: record.rules.map(ruleMessage),
    status: STATUSES[record.status],
    labels: { ...record.labels },
    createdAt: timestampFromMs(record.createdAtMs),
    ...time('startedAt', record.startedAtMs),
    ...time('stoppedAt', record.stoppedAtMs),
    ...time('expiresAt', record.expiresAtMs),
    runtime: runtimeType(record.runtime),
    image: record.image ?? '',
    imagePull: record.image === undefined ? ImagePull.UNSPECIFIED : PULLS[record.pull ?? 'missing'],
    resources: {
      memoryBytes: BigInt(limits.memoryBytes ?? 0),
      cpuQuota: BigInt(limits.cpuQuotaUs ?? 0),
      cpuShares: BigInt(limits.cpuShares ?? 0),
      pidsLimit: BigInt(limits.pids ?? 0),
      diskBytes: BigInt(quota.bytes ?? 0),
      inodes: BigInt(quota.inodes ?? 0),
      fileBytes: BigInt(limits.fileBytes ?? 0),
      tmpBytes: BigInt(limits.tmpBytes ?? 0),
      openFiles: BigInt(limits.openFiles ?? 0),
      outputBytes: BigInt(limits.outputBytes ?? 0),
      ...(limits.runTimeMs === undefined ? {} : { runTime: durationOf(limits.runTimeMs) }),
      commands: BigInt(limits.commands ?? 0),
      sessions: BigInt(limits.sessions ?? 0),
      ...ioMessage(limits),
    },
    preset: record.preset,
    error: record.error ?? '',
    seccomp: record.seccomp ?? 'default',
    baseRootHash: Buffer.from(record.base, 'hex'),
    checkpoint: record.checkpoint === undefined ? CheckpointMode.UNSPECIFIED : CheckpointMode.EACH_COMMAND,
    network: networkMessage(record.network ?? { mode: 'off' }),
    ownerId: record.owner ?? '',
  }
}

function ioMessage({ ioReadBytesPerSecond, ioWriteBytesPerSecond }: SandboxRecord['limits']) {
  if (ioReadBytesPerSecond === undefined && ioWriteBytesPerSecond === undefined) return {}
  return {
    io: {
      readBytesPerSecond: BigInt(ioReadBytesPerSecond ?? 0),
      writeBytesPerSecond: BigInt(ioWriteBytesPerSecond ?? 0),
    },
  }
}

const PULLS = { never: ImagePull.NEVER, missing: ImagePull.MISSING, always: ImagePull.ALWAYS } as const

const STATUSES = {
  pending: SandboxStatus.PENDING,
  running: SandboxStatus.RUNNING,
  stopped: SandboxStatus.STOPPED,
  error: SandboxStatus.ERROR,
  destroyed: SandboxStatus.STOPPED,
} as const

function time<K extends string>(key: K, ms: number | undefined) {
  return ms === undefined ? {} : { [key]: timestampFromMs(ms) }
}
