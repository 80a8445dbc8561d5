import { readFile } from 'node:fs/promises'
import { findGroups } from './detect.ts'
import type { ControlGroup } from './group.ts'
import { v1Group } from './v1.ts'
import { v2Group } from './v2.ts'

/** What a group counts. */
export type CountedGroup = Pick<ControlGroup, 'stats' | 'oomKills' | 'close'>

/**
 * The groups that somebody else has put a process into. They are looked up now, so that they are the same for as long
 * as they exist; once they are gone nothing is counted.
 */
export async function groupOfProcess(pid: number): Promise<CountedGroup> {
  const [mountinfo, membership] = await Promise.all([
    readFile('/proc/self/mountinfo', 'utf8'),
    readFile(`/proc/${pid}/cgroup`, 'utf8'),
  ])
  const { v1, v2 } = findGroups(mountinfo, membership)
  if (v1.memory !== undefined || v1.pids !== undefined) return v1Group(v1)
  return v2 === undefined ? { stats: async () => ({}), oomKills: () => undefined, close: () => undefined } : v2Group(v2)
}
