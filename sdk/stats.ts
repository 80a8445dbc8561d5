import { durationMs } from '@bufbuild/protobuf/wkt'
import { SandboxService, type SandboxStats as WireStats } from '../proto/index.ts'
import type { Connection } from './client/connection.ts'
import { dateFrom, durationFrom } from './durations.ts'

/** What a sandbox uses. What is absent is not counted on the server's host, or not limited. */
export interface SandboxStats {
  readonly at: Date
  /** Page cache is memory too. */
  readonly memoryBytes?: number
  readonly memoryPeakBytes?: number
  readonly memoryLimitBytes?: number
  /** Processes that the kernel ended for want of memory. */
  readonly oomKills?: number
  /** CPU time of all processes since the start. */
  readonly cpuTimeMs?: number
  /** Periods of 100 ms in which the quota of CPU time was used up, and for how long all stood still for that. */
  readonly throttledPeriods?: number
  readonly throttledMs?: number
  /** Threads too. */
  readonly processes?: number
  readonly processesLimit?: number
  /** What the sandbox has added to its codebase. */
  readonly diskBytes: number
  readonly diskLimitBytes?: number
  readonly inodes: number
  readonly inodesLimit?: number
  /** Under way, those in sessions included. */
  readonly commands: number
}

export interface WatchStatsOptions {
  /** Milliseconds between two of them. Default: the server's, a second. */
  readonly intervalMs?: number
  readonly signal?: AbortSignal
}

export async function getStats(
  connection: Connection,
  sandboxId: string,
  options: { readonly signal?: AbortSignal },
): Promise<SandboxStats> {
  return statsFromWire(await connection.unary(SandboxService.method.getStats, { sandboxId }, options))
}

export async function* watchStats(
  connection: Connection,
  sandboxId: string,
  { intervalMs, signal }: WatchStatsOptions,
): AsyncGenerator<SandboxStats, void, undefined> {
  const interval = intervalMs === undefined ? {} : { interval: durationFrom(intervalMs, 'intervalMs') }
  const stream = connection.serverStream(SandboxService.method.watchStats, { sandboxId, ...interval }, { signal })
  for await (const stats of stream) yield statsFromWire(stats)
}

function statsFromWire(stats: WireStats): SandboxStats {
  const { cpuTime, throttledTime } = stats
  return {
    at: dateFrom(stats.at) ?? new Date(),
    ...known({
      memoryBytes: stats.memoryBytes,
      memoryPeakBytes: stats.memoryPeakBytes,
      memoryLimitBytes: stats.memoryLimitBytes,
      oomKills: stats.oomKills,
      throttledPeriods: stats.throttledPeriods,
      processes: stats.processes,
      processesLimit: stats.processesLimit,
      diskLimitBytes: stats.diskLimitBytes,
      inodesLimit: stats.inodesLimit,
    }),
    ...(cpuTime === undefined ? {} : { cpuTimeMs: durationMs(cpuTime) }),
    ...(throttledTime === undefined ? {} : { throttledMs: durationMs(throttledTime) }),
    diskBytes: Number(stats.diskBytes),
    inodes: Number(stats.inodes),
    commands: stats.commands,
  }
}

function known<K extends string>(values: Readonly<Record<K, bigint | undefined>>): Partial<Record<K, number>> {
  const found: Partial<Record<K, number>> = {}
  for (const [name, value] of Object.entries(values) as [K, bigint | undefined][]) {
    if (value !== undefined) found[name] = Number(value)
  }
  return found
}
