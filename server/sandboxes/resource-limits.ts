import { durationMs } from '@bufbuild/protobuf/wkt'
import type { Bandwidth, DeviceCapabilities } from '../../fs-layer/index.ts'
import type { ResourceLimits as Message } from '../../proto/index.ts'
import type { Capabilities } from '../../runtimes/contract/capabilities.ts'
import { LIMIT_RANGES, MOST_TMP_OF_MEMORY, outside, type Range } from '../../runtimes/contract/limits.ts'
import type { Limits as RuntimeLimits } from '../../runtimes/contract/runtime.ts'
import { BANDWIDTH, type Limits, MAX_TIMER_MS } from '../config/limits.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'

/** What passes between the programs of a sandbox and their files; held by the device through which those are mounted. */
export interface IoLimits {
  readonly ioReadBytesPerSecond?: number
  readonly ioWriteBytesPerSecond?: number
}

/** What the server itself holds a sandbox's commands to. Absent: the server's own number. */
export interface CommandLimits {
  readonly outputBytes?: number
  readonly runTimeMs?: number
  readonly commands?: number
  readonly sessions?: number
}

export type SandboxLimits = RuntimeLimits & CommandLimits & IoLimits

/** Of the runtime, and of the device. */
export type Abilities = Capabilities & Pick<DeviceCapabilities, 'bandwidth'>

/** One limit on its way from the wire to who holds it. */
interface Row {
  readonly field: string
  readonly asked: (message: Message) => bigint | number
  readonly range: Range
  /** In force where a request names nothing; 0 is none. */
  readonly usual?: keyof Limits
  /** The most that a request may name, and in force where nothing else is; 0 is none. */
  readonly most?: keyof Limits
  /** What a runtime must be able to, and how it is said that it is not. */
  readonly ability?: readonly [keyof Abilities, string]
}

const ANY_COUNT: Range = { least: 1, most: Number.MAX_SAFE_INTEGER }

const ROWS: { readonly [K in keyof Required<SandboxLimits>]: Row } = {
  memoryBytes: {
    field: 'memory_bytes',
    asked: (message) => message.memoryBytes,
    range: LIMIT_RANGES.memoryBytes,
    usual: 'memoryBytesPerSandbox',
    most: 'maxMemoryBytesPerSandbox',
    ability: ['memoryLimit', 'limit memory'],
  },
  cpuQuotaUs: {
    field: 'cpu_quota',
    asked: (message) => message.cpuQuota,
    range: LIMIT_RANGES.cpuQuotaUs,
    most: 'maxCpuQuotaUsPerSandbox',
    ability: ['cpuLimit', 'limit CPU time'],
  },
  cpuShares: {
    field: 'cpu_shares',
    asked: (message) => message.cpuShares,
    range: LIMIT_RANGES.cpuShares,
    usual: 'cpuSharesPerSandbox',
    ability: ['cpuLimit', 'share out CPU time'],
  },
  pids: {
    field: 'pids_limit',
    asked: (message) => message.pidsLimit,
    range: LIMIT_RANGES.pids,
    usual: 'processesPerSandbox',
    most: 'maxProcessesPerSandbox',
    ability: ['pidsLimit', 'limit processes'],
  },
  tmpBytes: {
    field: 'tmp_bytes',
    asked: (message) => message.tmpBytes,
    range: LIMIT_RANGES.tmpBytes,
    most: 'maxTmpBytesPerSandbox',
    ability: ['tmpLimit', 'limit /tmp'],
  },
  openFiles: {
    field: 'open_files',
    asked: (message) => message.openFiles,
    range: LIMIT_RANGES.openFiles,
    most: 'maxOpenFilesPerProcess',
    ability: ['openFilesLimit', 'limit open files'],
  },
  fileBytes: {
    field: 'file_bytes',
    asked: (message) => message.fileBytes,
    range: LIMIT_RANGES.fileBytes,
    most: 'maxFileBytes',
    ability: ['fileSizeLimit', 'limit the size of files'],
  },
  ioReadBytesPerSecond: {
    field: 'io.read_bytes_per_second',
    asked: (message) => message.io?.readBytesPerSecond ?? 0n,
    range: BANDWIDTH,
    most: 'maxReadBytesPerSecond',
    ability: ['bandwidth', 'limit the bandwidth of reads'],
  },
  ioWriteBytesPerSecond: {
    field: 'io.write_bytes_per_second',
    asked: (message) => message.io?.writeBytesPerSecond ?? 0n,
    range: BANDWIDTH,
    most: 'maxWriteBytesPerSecond',
    ability: ['bandwidth', 'limit the bandwidth of writes'],
  },
  outputBytes: {
    field: 'output_bytes',
    asked: (message) => message.outputBytes,
    range: ANY_COUNT,
    most: 'maxOutputBytesPerCommand',
  },
  runTimeMs: {
    field: 'run_time',
    asked: (message) => (message.runTime === undefined ? 0 : durationMs(message.runTime)),
    range: { least: 1, most: MAX_TIMER_MS },
    most: 'execTimeoutMaxMs',
  },
  commands: {
    field: 'commands',
    asked: (message) => message.commands,
    range: ANY_COUNT,
    most: 'maxCommandsPerSandbox',
  },
  sessions: {
    field: 'sessions',
    asked: (message) => message.sessions,
    range: ANY_COUNT,
    most: 'maxSessionsPerSandbox',
  },
}

const NAMES = Object.keys(ROWS) as (keyof SandboxLimits)[]

/** What a request asks for. Throws INVALID_ARGUMENT naming the field. */
export function parseResources(message: Message | undefined, limits: Limits): SandboxLimits {
  if (message === undefined) return {}
  const asked: Partial<Record<keyof SandboxLimits, number>> = {}
  for (const name of NAMES) {
    const value = askedValue(ROWS[name], message, limits)
    if (value !== 0) asked[name] = value
  }
  const memoryBytes = asked.memoryBytes ?? usual(ROWS.memoryBytes, limits)
  if (asked.tmpBytes !== undefined && memoryBytes !== 0 && asked.tmpBytes > memoryBytes * MOST_TMP_OF_MEMORY) {
    throw invalid('resources.tmp_bytes', `must be at most half of the memory, which is ${memoryBytes}`)
  }
  return asked
}

/** Throws UNIMPLEMENTED for the first that the runtime cannot hold: one that holds nothing is worse than none. */
export function checkAbilities(asked: SandboxLimits, runtime: string, capabilities: Abilities): void {
  for (const name of NAMES) {
    const { ability, field } = ROWS[name]
    if (asked[name] === undefined || ability === undefined || capabilities[ability[0]]) continue
    const message = `resources.${field}: runtime ${runtime} cannot ${ability[1]} on this host`
    throw new CroftError('UNIMPLEMENTED', message, { field: `resources.${field}`, reason: 'unsupported' })
  }
}

/** With what the server usually sets, as far as the runtime can hold it. Only what was asked for is refused. */
export function limitsInForce(asked: SandboxLimits, limits: Limits, capabilities: Abilities): SandboxLimits {
  const all: Partial<Record<keyof SandboxLimits, number>> = { ...asked }
  for (const name of NAMES) {
    const row = ROWS[name]
    if (all[name] !== undefined || (row.ability !== undefined && !capabilities[row.ability[0]])) continue
    const value = usual(row, limits)
    if (value !== 0) all[name] = value
  }
  const { tmpBytes, memoryBytes } = all
  // What is usual never makes a sandbox impossible.
  if (asked.tmpBytes !== undefined || tmpBytes === undefined || memoryBytes === undefined) return all
  const { tmpBytes: _usual, ...rest } = all
  return tmpBytes > memoryBytes / 4 ? rest : all
}

/** Of these, what the runtime holds. */
export function runtimeLimits(all: SandboxLimits): RuntimeLimits {
  const { outputBytes: _output, runTimeMs: _time, commands: _commands, sessions: _sessions, ...others } = all
  const { ioReadBytesPerSecond: _read, ioWriteBytesPerSecond: _write, ...rest } = others
  return rest
}

/** Of these, what the device holds. */
export function bandwidthOf({ ioReadBytesPerSecond, ioWriteBytesPerSecond }: SandboxLimits): Bandwidth {
  return {
    ...(ioReadBytesPerSecond === undefined ? {} : { readBytesPerSecond: ioReadBytesPerSecond }),
    ...(ioWriteBytesPerSecond === undefined ? {} : { writeBytesPerSecond: ioWriteBytesPerSecond }),
  }
}

function askedValue(row: Row, message: Message, limits: Limits): number {
  const field = `resources.${row.field}`
  const value = Number(row.asked(message))
  // 0 is the value of a field that was not set.
  if (value === 0) return 0
  if (value < 0) throw invalid(field, 'must not be negative')
  const problem = outside(value, row.range)
  if (problem !== undefined) throw invalid(field, problem)
  const most = row.most === undefined ? 0 : limits[row.most]
  if (most !== 0 && value > most) throw invalid(field, `must be at most ${most}`)
  return value
}

function usual({ usual: key, most }: Row, limits: Limits): number {
  const value = key === undefined ? 0 : limits[key]
  const ceiling = most === undefined ? 0 : limits[most]
  return ceiling !== 0 && (value === 0 || value > ceiling) ? ceiling : value
}
