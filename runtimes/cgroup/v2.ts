import { existsSync, mkdirSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { emptyAndRemove, readField, readNumber, readText, setLimit, watchField } from './files.ts'
import {
  type ControlGroup,
  type ControlGroups,
  type Controller,
  CPU_PERIOD_US,
  type GroupLimits,
  type GroupStats,
} from './group.ts'

/** Where this process goes when its own group must be empty of processes. */
const SERVER_GROUP = 'croft-server'

/**
 * Version 2: one tree, below `parent`, the group this process is in. A group with processes of its own cannot
 * hand controllers to groups below it (but for the root), so where it must, this process moves into one of
 * them. Undefined where no controller is ours to hand on.
 */
export async function createV2(parent: string): Promise<ControlGroups | undefined> {
  const controllers = await handOn(parent)
  if (controllers.size === 0) return undefined
  return {
    version: 2,
    controllers,
    async create(name, limits) {
      const directory = join(parent, name)
      const group = v2Group(directory)
      mkdirSync(directory)
      try {
        for (const [file, value] of v2Settings(limits)) {
          if (file === 'memory.swap.max' && !existsSync(join(directory, file))) continue
          setLimit(directory, file, value)
        }
      } catch (error) {
        await group.remove()
        throw error
      }
      return group
    },
    async reap(name) {
      await v2Group(join(parent, name)).remove()
    },
  }
}

/** Files and what to write to them. */
export function v2Settings(limits: GroupLimits): [file: string, value: string][] {
  const settings: [string, string][] = []
  if (limits.memoryBytes !== undefined) {
    settings.push(['memory.max', String(limits.memoryBytes)], ['memory.swap.max', '0'])
  }
  if (limits.cpuQuotaUs !== undefined) settings.push(['cpu.max', `${limits.cpuQuotaUs} ${CPU_PERIOD_US}`])
  if (limits.cpuShares !== undefined) settings.push(['cpu.weight', String(weightOf(limits.cpuShares))])
  if (limits.pids !== undefined) settings.push(['pids.max', String(limits.pids)])
  return settings
}

/** Shares run from 2 to 262144, weights from 1 to 10000; the ends meet, as container engines have it. */
function weightOf(shares: number): number {
  const within = Math.min(Math.max(shares, 2), 262_144)
  return 1 + Math.floor(((within - 2) * 9999) / 262_142)
}

async function handOn(parent: string): Promise<Set<Controller>> {
  const offered = ((await readText(parent, 'cgroup.controllers')) ?? '').split(/\s+/)
  const wanted = (['memory', 'cpu', 'pids'] as const).filter((controller) => offered.includes(controller))
  if (wanted.length === 0) return new Set()
  const enabled = ((await readText(parent, 'cgroup.subtree_control')) ?? '').split(/\s+/)
  if (wanted.every((controller) => enabled.includes(controller))) return new Set(wanted)
  const line = wanted.map((controller) => `+${controller}`).join(' ')
  try {
    await enable(parent, line)
    return new Set(wanted)
  } catch (error) {
    // Not ours to arrange: then the limits are not to be had, which the probe says.
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'EBUSY') return new Set()
    throw error
  }
}

async function enable(parent: string, line: string): Promise<void> {
  try {
    await writeFile(join(parent, 'cgroup.subtree_control'), line)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error
    const own = join(parent, SERVER_GROUP)
    await mkdir(own, { recursive: true })
    await writeFile(join(own, 'cgroup.procs'), String(process.pid))
    await writeFile(join(parent, 'cgroup.subtree_control'), line)
  }
}

export function v2Group(directory: string): ControlGroup {
  const ooms = watchField(directory, 'memory.events', 'oom_kill')
  return {
    procsPaths: [join(directory, 'cgroup.procs')],
    stats: () => stats(directory),
    oomKills: () => ooms.value(),
    close: () => ooms.close(),
    async remove() {
      ooms.close()
      // Kills at once whatever is in it, also what forks meanwhile (since Linux 5.14).
      const kill = join(directory, 'cgroup.kill')
      if (existsSync(kill)) await writeFile(kill, '1')
      await emptyAndRemove(directory)
    },
  }
}

async function stats(directory: string): Promise<GroupStats> {
  const [memoryBytes, memoryPeakBytes, oomKills, cpuUs, pids, throttledPeriods, throttledUs] = await Promise.all([
    readNumber(directory, 'memory.current'),
    readNumber(directory, 'memory.peak'),
    readField(directory, 'memory.events', 'oom_kill'),
    readField(directory, 'cpu.stat', 'usage_usec'),
    readNumber(directory, 'pids.current'),
    readField(directory, 'cpu.stat', 'nr_throttled'),
    readField(directory, 'cpu.stat', 'throttled_usec'),
  ])
  return {
    ...(memoryBytes !== undefined && { memoryBytes }),
    ...(memoryPeakBytes !== undefined && { memoryPeakBytes }),
    ...(oomKills !== undefined && { oomKills }),
    ...(cpuUs !== undefined && { cpuUs }),
    ...(pids !== undefined && { pids }),
    ...(throttledPeriods !== undefined && { throttledPeriods }),
    ...(throttledUs !== undefined && { throttledUs }),
  }
}
