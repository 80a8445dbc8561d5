import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { emptyAndRemove, readField, readNumber, setLimit, watchField } from './files.ts'
import {
  type ControlGroup,
  type ControlGroups,
  type Controller,
  CPU_PERIOD_US,
  type GroupLimits,
  type GroupStats,
} from './group.ts'

/** Where this process is in each hierarchy that is mounted, as a directory. `cpuacct` only counts. */
export type V1Directories = Partial<Record<Controller | 'cpuacct', string>>

/** Version 1: one tree of groups for each controller, so a group is several directories of one name. */
export function createV1(parents: V1Directories): ControlGroups {
  const directoriesOf = (name: string): V1Directories =>
    Object.fromEntries(Object.entries(parents).map(([controller, parent]) => [controller, join(parent, name)]))

  return {
    version: 1,
    controllers: new Set(
      (['memory', 'cpu', 'pids'] as const).filter((controller) => parents[controller] !== undefined),
    ),
    async create(name, limits) {
      const directories = needed(directoriesOf(name), limits)
      const group = v1Group(directories)
      try {
        for (const directory of distinct(directories)) mkdirSync(directory)
        setLimits(directories, limits)
      } catch (error) {
        await group.remove()
        throw error
      }
      return group
    },
    async reap(name) {
      await v1Group(directoriesOf(name)).remove()
    },
  }
}

export function v1Group(directories: V1Directories): ControlGroup {
  const { memory } = directories
  const ooms = memory === undefined ? undefined : watchField(memory, 'memory.oom_control', 'oom_kill')
  return {
    procsPaths: distinct(directories).map((directory) => join(directory, 'cgroup.procs')),
    stats: () => stats(directories),
    oomKills: () => ooms?.value(),
    close: () => ooms?.close(),
    async remove() {
      ooms?.close()
      for (const directory of distinct(directories)) await emptyAndRemove(directory)
    },
  }
}

/**
 * Entering a group waits for every processor, once for each hierarchy: about 3 ms where the machine is busy. So
 * the two that are about CPU time are left out where it is not limited, and then it is not counted either.
 */
function needed({ cpu, cpuacct, ...others }: V1Directories, limits: GroupLimits): V1Directories {
  if (limits.cpuQuotaUs === undefined && limits.cpuShares === undefined) return others
  return { ...others, ...(cpu !== undefined && { cpu }), ...(cpuacct !== undefined && { cpuacct }) }
}

/** cpu and cpuacct are often mounted as one. */
function distinct(directories: V1Directories): string[] {
  return [...new Set(Object.values(directories))]
}

function setLimits(directories: V1Directories, limits: GroupLimits): void {
  const { memory, cpu, pids } = directories
  if (memory !== undefined && limits.memoryBytes !== undefined) {
    setLimit(memory, 'memory.limit_in_bytes', limits.memoryBytes)
    // Absent where the kernel does not account for swap.
    if (existsSync(join(memory, 'memory.memsw.limit_in_bytes'))) {
      setLimit(memory, 'memory.memsw.limit_in_bytes', limits.memoryBytes)
    }
  }
  if (cpu !== undefined && limits.cpuQuotaUs !== undefined) {
    setLimit(cpu, 'cpu.cfs_period_us', CPU_PERIOD_US)
    setLimit(cpu, 'cpu.cfs_quota_us', limits.cpuQuotaUs)
  }
  if (cpu !== undefined && limits.cpuShares !== undefined) setLimit(cpu, 'cpu.shares', limits.cpuShares)
  if (pids !== undefined && limits.pids !== undefined) setLimit(pids, 'pids.max', limits.pids)
}

async function stats({ memory, cpu, cpuacct, pids }: V1Directories): Promise<GroupStats> {
  const [memoryBytes, memoryPeakBytes, oomKills, cpuNs, pidsNow, throttledPeriods, throttledNs] = await Promise.all([
    memory && readNumber(memory, 'memory.usage_in_bytes'),
    memory && readNumber(memory, 'memory.max_usage_in_bytes'),
    memory && readField(memory, 'memory.oom_control', 'oom_kill'),
    cpuacct && readNumber(cpuacct, 'cpuacct.usage'),
    pids && readNumber(pids, 'pids.current'),
    cpu && readField(cpu, 'cpu.stat', 'nr_throttled'),
    cpu && readField(cpu, 'cpu.stat', 'throttled_time'),
  ])
  return {
    ...(typeof memoryBytes === 'number' && { memoryBytes }),
    ...(typeof memoryPeakBytes === 'number' && { memoryPeakBytes }),
    ...(typeof oomKills === 'number' && { oomKills }),
    ...(typeof cpuNs === 'number' && { cpuUs: Math.round(cpuNs / 1000) }),
    ...(typeof pidsNow === 'number' && { pids: pidsNow }),
    ...(typeof throttledPeriods === 'number' && { throttledPeriods }),
    ...(typeof throttledNs === 'number' && { throttledUs: Math.round(throttledNs / 1000) }),
  }
}
