import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'

/** What figures depend on. */
export interface Machine {
  readonly cpu: string
  readonly cpus: number
  readonly memoryBytes: number
  readonly kernel: string
  readonly node: string
  /** Of the scratch directory, as `findmnt` names it. */
  readonly filesystem: string
  /** Over the last minute, when the benchmark began: others at work make all times longer. */
  readonly load: number
}

export function describeMachine(scratch: string): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    filesystem: execFileSync('stat', ['--file-system', '--format', '%T', scratch], { encoding: 'utf8' }).trim(),
    load: loadavg()[0] ?? Number.NaN,
  }
}
