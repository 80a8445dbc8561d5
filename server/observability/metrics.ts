import { readdirSync } from 'node:fs'
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { decisionOf } from '../access/decisions.ts'
import type { EndedCall } from '../api/calls.ts'
import type { Records } from '../records/records.ts'
import { Counter, expose, Histogram, type Metric, Reading, type Sample } from './exposition.ts'

export interface MetricsDependencies {
  readonly version: string
  readonly records: Records
  readonly openCalls: () => number
  readonly connections: () => { readonly open: number; readonly bytesRead: number; readonly bytesWritten: number }
  /** Sandboxes that have their view mounted, a boundary and an agent. */
  readonly running: () => number
  /** Views that are open, mounted or not. */
  readonly openViews: () => number
  /** Changes that wait for others of the same thing. */
  readonly waiting: () => number
  /** Of the disk that the data are on. */
  readonly freeBytes: () => number
}

/** Seconds. Most calls are below a few milliseconds; commands take what they take. */
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600]

const NS_PER_S = 1e9

/** What is counted, and read when somebody asks. */
export class Metrics implements Disposable {
  readonly #calls = new Counter('croft_calls_total', 'Calls that are over, by how they were answered.')
  readonly #commands = new Counter('croft_commands_total', 'Calls that were to start a command or a session.')
  readonly #seconds = new Histogram('croft_call_seconds', 'From the beginning of a call to its end.', BOUNDS)
  readonly #loop: IntervalHistogram
  readonly #metrics: readonly Metric[]

  constructor(parts: MetricsDependencies) {
    this.#loop = monitorEventLoopDelay({ resolution: 20 })
    this.#loop.enable()
    this.#metrics = [this.#calls, this.#commands, this.#seconds, ...readings(parts), ...ofProcess(this.#loop)]
  }

  noteCall({ method, code, durationMs }: EndedCall): void {
    const name = `${method.parent.name}.${method.name}`
    this.#calls.add({ method: name, code })
    this.#seconds.observe({ method: name }, durationMs / 1000)
    if (decisionOf(method).starts === 'command') this.#commands.add({ method: name, code })
  }

  text(): string {
    return expose(this.#metrics)
  }

  [Symbol.dispose](): void {
    this.#loop.disable()
  }
}

function readings(parts: MetricsDependencies): Metric[] {
  const { records, connections } = parts
  return [
    gauge('croft_info', 'Its version.', () => [{ labels: { version: parts.version }, value: 1 }]),
    gauge('croft_calls_open', 'Calls under way.', parts.openCalls),
    gauge('croft_connections', 'Clients that are connected.', () => connections().open),
    counter(
      'croft_received_bytes_total',
      'From clients, as it came over their connections.',
      () => connections().bytesRead,
    ),
    counter('croft_sent_bytes_total', 'To clients, likewise.', () => connections().bytesWritten),
    gauge('croft_sandboxes', 'Sandboxes, by state and runtime.', () => sandboxes(records)),
    gauge('croft_mounts', 'Views that are mounted.', parts.running),
    gauge(
      'croft_views_open',
      'Views that are open, those that are looked into without a mount among them.',
      parts.openViews,
    ),
    gauge('croft_codebases', 'Codebases.', () => records.codebases.size),
    gauge('croft_snapshots', 'Snapshots.', () => records.snapshots.size),
    gauge('croft_tokens', 'Tokens, those that have expired among them.', () => records.tokens.size),
    gauge('croft_sessions', 'Sessions that are open.', () => activeSessions(records)),
    gauge('croft_changes_waiting', 'Changes that are made or wait for others of the same thing.', parts.waiting),
    gauge('croft_disk_free_bytes', 'Of the disk that the data are on, for this user.', parts.freeBytes),
  ]
}

function ofProcess(loop: IntervalHistogram): Metric[] {
  const startedS = Date.now() / 1000 - process.uptime()
  return [
    gauge('process_resident_memory_bytes', 'Memory of the server in RAM.', () => process.memoryUsage.rss()),
    gauge('nodejs_heap_used_bytes', 'Of it, JavaScript of the main thread.', () => process.memoryUsage().heapUsed),
    counter('process_cpu_seconds_total', 'CPU time of all threads.', () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    }),
    gauge('process_open_fds', 'Descriptors that are open.', openDescriptors),
    gauge('process_start_time_seconds', 'Since 1970.', () => startedS),
    gauge(
      'nodejs_eventloop_lag_p99_seconds',
      'How late the main thread came to its timers since it was last asked.',
      () => {
        const p99 = loop.percentile(99) / NS_PER_S
        loop.reset()
        return p99
      },
    ),
  ]
}

function sandboxes({ sandboxes }: Records): Sample[] {
  const counts = new Map<string, { readonly labels: { state: string; runtime: string }; value: number }>()
  for (const { status: state, runtime } of sandboxes.values()) {
    const known = counts.get(`${state} ${runtime}`)
    if (known === undefined) counts.set(`${state} ${runtime}`, { labels: { state, runtime }, value: 1 })
    else known.value += 1
  }
  return [...counts.values()]
}

function activeSessions({ sessions }: Records): number {
  let active = 0
  for (const { status } of sessions.values()) if (status === 'active') active += 1
  return active
}

/** Only Linux tells. */
function openDescriptors(): number {
  return process.platform === 'linux' ? readdirSync('/proc/self/fd').length : Number.NaN
}

function gauge(name: string, help: string, read: () => readonly Sample[] | number): Metric {
  return new Reading('gauge', name, help, read)
}

function counter(name: string, help: string, read: () => number): Metric {
  return new Reading('counter', name, help, read)
}
