import { setTimeout as delay } from 'node:timers/promises'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { durationMs, timestampFromMs } from '@bufbuild/protobuf/wkt'
import type { SandboxStatsSchema, WatchStatsRequest } from '../../proto/index.ts'
import { durationOf } from '../api/wire-time.ts'
import type { Limits } from '../config/limits.ts'
import { invalid } from '../errors/croft-error.ts'
import type { Watches } from '../files/watch-files.ts'
import type { Running } from './running.ts'
import type { Sandboxes } from './sandboxes.ts'

type StatsMessage = MessageInitShape<typeof SandboxStatsSchema>

export interface StatsDependencies {
  readonly sandboxes: Sandboxes
  readonly limits: Limits
  readonly watches: Watches
}

/** Throws FAILED_PRECONDITION where the sandbox does not run. */
export async function getStats(sandboxId: string, { sandboxes }: StatsDependencies): Promise<StatsMessage> {
  const running = sandboxes.running(sandboxId)
  const message = await statsMessage(running, sandboxes)
  // It may have ended meanwhile, and then these are the figures of nothing.
  sandboxes.running(sandboxId)
  return message
}

/** One message at once, and one after each interval that the client has taken the last of. */
export async function* watchStats(
  request: WatchStatsRequest,
  dependencies: StatsDependencies & { readonly signal: AbortSignal },
): AsyncGenerator<StatsMessage> {
  const { sandboxes, limits, watches, signal } = dependencies
  const { sandboxId } = request
  const intervalMs = parseInterval(request, limits)
  const running = sandboxes.running(sandboxId)
  watches.begin(sandboxId)
  const ended = new AbortController()
  const onEnd = async () => ended.abort()
  running.atEnd.add(onEnd)
  const over = AbortSignal.any([signal, ended.signal])
  try {
    for (;;) {
      yield await getStats(sandboxId, dependencies)
      // An abort is no failure here: what it means is asked next.
      await delay(intervalMs, undefined, { signal: over }).catch(() => undefined)
      signal.throwIfAborted()
    }
  } finally {
    running.atEnd.delete(onEnd)
    watches.end(sandboxId)
  }
}

function parseInterval({ interval }: WatchStatsRequest, limits: Limits): number {
  if (interval === undefined) return limits.statsIntervalDefaultMs
  const ms = durationMs(interval)
  const { statsIntervalMinMs: least, statsIntervalMaxMs: most } = limits
  if (!(ms >= least && ms <= most)) throw invalid('interval', `must be from ${least} ms to ${most} ms`)
  return ms
}

async function statsMessage(running: Running, sandboxes: Sandboxes): Promise<StatsMessage> {
  const { sandboxId, limits, parts } = running
  const { quota = {} } = sandboxes.get(sandboxId)
  const [used, disk] = await Promise.all([parts.launched.stats(), parts.view.view.usage()])
  return {
    sandboxId,
    at: timestampFromMs(Date.now()),
    ...counts({
      memoryBytes: used.memoryBytes,
      memoryPeakBytes: used.memoryPeakBytes,
      memoryLimitBytes: limits.memoryBytes,
      oomKills: used.oomKills,
      throttledPeriods: used.throttledPeriods,
      processes: used.pids,
      processesLimit: limits.pids,
      diskLimitBytes: quota.bytes,
      inodesLimit: quota.inodes,
    }),
    ...(used.cpuUs === undefined ? {} : { cpuTime: durationOf(used.cpuUs / 1000) }),
    ...(used.throttledUs === undefined ? {} : { throttledTime: durationOf(used.throttledUs / 1000) }),
    diskBytes: BigInt(disk.bytes),
    inodes: BigInt(disk.inodes),
    commands: running.commands,
  }
}

/** Those that are known. */
function counts<K extends string>(values: Readonly<Record<K, number | undefined>>): Partial<Record<K, bigint>> {
  const known: Partial<Record<K, bigint>> = {}
  for (const [name, value] of Object.entries(values) as [K, number | undefined][]) {
    if (value !== undefined) known[name] = BigInt(value)
  }
  return known
}
