import type { MessageInitShape } from '@bufbuild/protobuf'
import { durationMs } from '@bufbuild/protobuf/wkt'
import type { ResourceLimits, ResourceLimitsSchema } from '../proto/index.ts'
import { durationFrom } from './durations.ts'
import { InvalidArgumentError } from './errors.ts'

/** What is absent is the server's default. What the runtime cannot hold is refused, with `UnsupportedError`. */
export interface Resources {
  readonly memoryBytes?: number
  /** 0.5 is half of one CPU's time. */
  readonly cpus?: number
  /** A weight against other sandboxes; the kernel's default is 1024. */
  readonly cpuShares?: number
  /** Processes and threads at one time. */
  readonly pids?: number
  /** Bytes that the sandbox may add to its codebase, in blocks of 4 KiB; writes beyond it fail with EDQUOT. */
  readonly diskBytes?: number
  /** Files, directories and links that it may add. Default: the server's, a million. */
  readonly inodes?: number
  /** No file grows beyond it: EFBIG inside. */
  readonly fileBytes?: number
  /** Of /tmp, which is memory: at most half of `memoryBytes`. */
  readonly tmpBytes?: number
  /** Descriptors of each process. */
  readonly openFiles?: number
  /** What one command may print. One that prints more is killed, and rejects with `ResourceExhaustedError`. */
  readonly outputBytes?: number
  /** The longest timeout of a command, and that of one which names none. */
  readonly runTimeMs?: number
  /** At one time, those in sessions included. */
  readonly commands?: number
  /** Open at one time. */
  readonly sessions?: number
  /** What passes between programs and their files. Where views are not mounted by the kernel device it is refused. */
  readonly io?: { readonly readBytesPerSecond?: number; readonly writeBytesPerSecond?: number }
}

/** The kernel counts CPU time in periods of 100 ms. */
const PERIOD_US = 100_000

export function resourcesToWire(resources: Resources): MessageInitShape<typeof ResourceLimitsSchema> {
  const { cpus, runTimeMs, io } = resources
  const limit = (name: Counted) => wireLimit(resources[name], `resources.${name}`)
  return {
    memoryBytes: limit('memoryBytes'),
    cpuQuota: wireLimit(cpus === undefined ? undefined : Math.round(cpus * PERIOD_US), 'resources.cpus'),
    cpuShares: limit('cpuShares'),
    pidsLimit: limit('pids'),
    diskBytes: limit('diskBytes'),
    inodes: limit('inodes'),
    fileBytes: limit('fileBytes'),
    tmpBytes: limit('tmpBytes'),
    openFiles: limit('openFiles'),
    outputBytes: limit('outputBytes'),
    ...(runTimeMs === undefined ? {} : { runTime: durationFrom(runTimeMs, 'resources.runTimeMs') }),
    commands: limit('commands'),
    sessions: limit('sessions'),
    ...(io === undefined ? {} : { io: ioToWire(io) }),
  }
}

type Counted = Exclude<keyof Resources, 'cpus' | 'runTimeMs' | 'io'>

function ioToWire({ readBytesPerSecond, writeBytesPerSecond }: NonNullable<Resources['io']>) {
  return {
    readBytesPerSecond: wireLimit(readBytesPerSecond, 'resources.io.readBytesPerSecond'),
    writeBytesPerSecond: wireLimit(writeBytesPerSecond, 'resources.io.writeBytesPerSecond'),
  }
}

/** On the wire 0 is no limit; an option that is 0 is a mistake. */
function wireLimit(value: number | undefined, option: string): bigint {
  if (value === undefined) return 0n
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new InvalidArgumentError(`${option} must be a positive number`, option)
  }
  return BigInt(value)
}

export function resourcesFromWire(resources: ResourceLimits | undefined): Resources {
  if (resources === undefined) return {}
  const { cpuQuota, runTime, io } = resources
  return {
    ...counted({
      memoryBytes: resources.memoryBytes,
      cpuShares: resources.cpuShares,
      pids: resources.pidsLimit,
      diskBytes: resources.diskBytes,
      inodes: resources.inodes,
      fileBytes: resources.fileBytes,
      tmpBytes: resources.tmpBytes,
      openFiles: resources.openFiles,
      outputBytes: resources.outputBytes,
      commands: resources.commands,
      sessions: resources.sessions,
    }),
    ...(cpuQuota === 0n ? {} : { cpus: Number(cpuQuota) / PERIOD_US }),
    ...(runTime === undefined ? {} : { runTimeMs: durationMs(runTime) }),
    ...(io === undefined
      ? {}
      : { io: counted({ readBytesPerSecond: io.readBytesPerSecond, writeBytesPerSecond: io.writeBytesPerSecond }) }),
  }
}

/** Those that are set. */
function counted(values: Readonly<Record<string, bigint>>): Record<string, number> {
  const set = Object.entries(values).filter(([, value]) => value !== 0n)
  return Object.fromEntries(set.map(([name, value]) => [name, Number(value)]))
}
