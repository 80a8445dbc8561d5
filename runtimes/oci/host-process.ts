import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * Process 1 of a container as a process of this host, known by its number and its start, so that whoever gets the
 * number later is not taken for it.
 */
export class HostProcess {
  readonly pid: number
  readonly #startedAt: string

  private constructor(pid: number, startedAt: string) {
    this.pid = pid
    this.#startedAt = startedAt
  }

  /** `undefined` where it is not there, or not that user's: an engine may count the processes of another machine. */
  static find(pid: number, uid: number): HostProcess | undefined {
    const stat = pid > 0 ? read(pid, 'stat') : undefined
    const owner = /^Uid:\s+(\d+)/m.exec(read(pid, 'status') ?? '')?.[1]
    const startedAt = stat === undefined ? undefined : fieldsOf(stat).startedAt
    return startedAt === undefined || owner !== String(uid) ? undefined : new HostProcess(pid, startedAt)
  }

  /** As process 1 of its namespace it takes all the others with it, and becomes a zombie after the last of them. */
  get isAlive(): boolean {
    const stat = read(this.pid, 'stat')
    if (stat === undefined) return false
    const { state, startedAt } = fieldsOf(stat)
    return startedAt === this.#startedAt && state !== 'Z' && state !== 'X'
  }

  kill(): void {
    if (!this.isAlive) return
    try {
      process.kill(this.pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  /** False where it is still there after so long. It is nobody's child of ours, so there is nothing to be told by. */
  async hasEnded(withinMs: number): Promise<boolean> {
    const deadline = performance.now() + withinMs
    while (this.isAlive) {
      if (performance.now() > deadline) return false
      await delay(5)
    }
    return true
  }
}

/** The name, in brackets, may hold blanks and brackets; fields are counted from its end. */
function fieldsOf(stat: string): { state: string | undefined; startedAt: string | undefined } {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0], startedAt: fields[19] }
}

function read(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}
