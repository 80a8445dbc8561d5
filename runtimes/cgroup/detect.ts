import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { ControlGroups } from './group.ts'
import { createV1, type V1Directories } from './v1.ts'
import { createV2 } from './v2.ts'

/** The control groups that this process can make groups in, tried by making one; undefined where it cannot. */
export async function detectControlGroups(): Promise<ControlGroups | undefined> {
  const [mountinfo, membership] = await Promise.all([
    readFile('/proc/self/mountinfo', 'utf8'),
    readFile('/proc/self/cgroup', 'utf8'),
  ])
  const places = findGroups(mountinfo, membership)
  for (const open of [async () => v1(places.v1), async () => (places.v2 ? createV2(places.v2) : undefined)]) {
    const groups = await open()
    if (groups !== undefined && (await works(groups))) return groups
  }
  return undefined
}

export interface GroupPlaces {
  readonly v1: V1Directories
  readonly v2?: string
}

/** Where this process's groups are as directories, from the kernel's list of mounts and of memberships. Pure. */
export function findGroups(mountinfo: string, membership: string): GroupPlaces {
  const v1: V1Directories = {}
  let v2: string | undefined
  const own = new Map<string, string>()
  for (const line of membership.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (controllers === undefined || path === undefined) continue
    for (const controller of controllers.split(',')) own.set(controller, path)
  }
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ')
    const [, , , root, target] = before?.split(' ') ?? []
    const [type, , options] = after?.split(' ') ?? []
    if (root === undefined || target === undefined || options === undefined) continue
    if (type === 'cgroup2') v2 ??= directory(root, unescaped(target), own.get(''))
    if (type !== 'cgroup') continue
    for (const controller of ['memory', 'cpu', 'pids', 'cpuacct'] as const) {
      if (!options.split(',').includes(controller)) continue
      const found = directory(root, unescaped(target), own.get(controller))
      if (found !== undefined) v1[controller] ??= found
    }
  }
  return v2 === undefined ? { v1 } : { v1, v2 }
}

/** The membership is a path from the hierarchy's root, of which a mount may show only a part. */
function directory(root: string, target: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined
  const below = relative(root, path)
  return below.startsWith('..') ? undefined : join(target, below)
}

/** mountinfo writes blanks, tabs, newlines and backslashes in octal. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

function v1(directories: V1Directories): ControlGroups | undefined {
  const groups = createV1(directories)
  return groups.controllers.size === 0 ? undefined : groups
}

async function works(groups: ControlGroups): Promise<boolean> {
  const limits = {
    ...(groups.controllers.has('memory') && { memoryBytes: 1 << 26 }),
    ...(groups.controllers.has('pids') && { pids: 16 }),
    ...(groups.controllers.has('cpu') && { cpuQuotaUs: 50_000 }),
  }
  try {
    const group = await groups.create(`croft-try-${randomBytes(6).toString('hex')}`, limits)
    await group.remove()
    return true
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'ENOENT') return false
    throw error
  }
}
