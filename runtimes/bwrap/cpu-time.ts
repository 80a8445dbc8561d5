import { readdir, readFile } from 'node:fs/promises'

/** What the kernel counts CPU time of a process in, for programs: 100 to the second on every machine. */
const TICK_US = 10_000

/** More processes than this are not looked at: then nothing is said. */
const MAX_PROCESSES = 1_000

/**
 * CPU time of a process and of all that descend from it, those too that have ended and been waited for. For where no
 * control group counts it. A process whose parent does not wait for it takes its time along.
 */
export async function cpuTimeOfTree(pid: number): Promise<number | undefined> {
  const waiting = [pid]
  let ticks = 0
  for (let seen = 0; waiting.length > 0; seen++) {
    if (seen >= MAX_PROCESSES) return undefined
    const next = waiting.pop() ?? 0
    const stat = await read(`/proc/${next}/stat`)
    // The name may hold anything, so counting begins after it: utime, stime, and those of waited-for children.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    for (const field of fields.slice(11, 15)) ticks += Number(field)
    waiting.push(...(await childrenOf(next)))
  }
  return ticks * TICK_US
}

async function childrenOf(pid: number): Promise<number[]> {
  const threads = await unlessGone(readdir(`/proc/${pid}/task`), [])
  const lists = await Promise.all(threads.map((thread) => read(`/proc/${pid}/task/${thread}/children`)))
  return lists.flatMap((list) =>
    list
      .split(' ')
      .filter((word) => word !== '')
      .map(Number),
  )
}

function read(path: string): Promise<string> {
  return unlessGone(readFile(path, 'latin1'), '')
}

/** Processes end while we look. */
async function unlessGone<T>(reading: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await reading
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return otherwise
    throw error
  }
}
