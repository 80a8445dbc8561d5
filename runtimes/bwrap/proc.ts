import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** What of `/proc` tells of the host, or of others on it, and does not show. */
export interface HiddenProc {
  /** Nobody inside may open these. */
  readonly files: readonly string[]
  /** These are empty. */
  readonly directories: readonly string[]
}

/** What only root of the host may read (`kcore`, `kmsg`, `slabinfo`) needs no hiding: nobody inside is that. */
const FILES = [
  'cmdline',
  'diskstats',
  'interrupts',
  'kallsyms',
  'key-users',
  'keys',
  'latency_stats',
  'modules',
  'partitions',
  'sched_debug',
  'timer_list',
  'timer_stats',
] as const

const DIRECTORIES = ['acpi', 'asound', 'bus', 'driver', 'fs', 'irq', 'scsi'] as const

/** Each costs the start of a sandbox a mount: what has nothing to hide is left alone. */
export function findHiddenProc(proc = '/proc'): HiddenProc {
  return {
    files: FILES.filter((name) => existsSync(join(proc, name)) && (statSync(join(proc, name)).mode & 0o004) !== 0),
    directories: DIRECTORIES.filter((name) => existsSync(join(proc, name)) && readdirSync(join(proc, name)).length > 0),
  }
}

export interface ProcSources {
  readonly hidden: HiddenProc
  /** A file that nobody may open. */
  readonly closedFile: string
  readonly emptyDir: string
  /** What stands in the place of the number of the host's last start. */
  readonly bootIdFile: string
  /** What stands in the place of process 1: its program, `exe`, and nothing else. */
  readonly processOneDir: string
}

/** Where bubblewrap finds the agent, when `/proc/self` is gone for it. */
export const AGENT_INSIDE = '/proc/1/exe'

/**
 * The arguments for `/proc`. bubblewrap makes `/proc/sys` and `sysrq-trigger` read-only itself. Process 1 is the agent:
 * of it nothing shows but the program, whose place has to be somewhere. All are binds, for a tmpfs takes two steps to
 * be one that nobody can write to.
 */
export function planProc({ hidden, closedFile, emptyDir, bootIdFile, processOneDir }: ProcSources): string[] {
  return [
    ...['--proc', '/proc', '--ro-bind', bootIdFile, '/proc/sys/kernel/random/boot_id'],
    ...hidden.files.flatMap((name) => ['--ro-bind', closedFile, `/proc/${name}`]),
    ...hidden.directories.flatMap((name) => ['--ro-bind', emptyDir, `/proc/${name}`]),
    ...['--ro-bind', processOneDir, '/proc/1'],
  ]
}
