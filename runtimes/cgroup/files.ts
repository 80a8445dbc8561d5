import { closeSync, openSync, readSync, writeFileSync } from 'node:fs'
import { readFile, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** Groups whose processes do not end within this are left, and said to be. */
const REMOVE_WITHIN_MS = 5_000

/** Far more than `memory.oom_control` and `memory.events` have. */
const MAX_WATCHED_BYTES = 1024

/** At once, as the start of a sandbox waits for a handful of these: there is no disk behind them. */
export function setLimit(directory: string, file: string, value: number | string): void {
  writeFileSync(join(directory, file), String(value))
}

/** Absent where there is no such file, as with a controller that is off. */
export async function readText(directory: string, file: string): Promise<string | undefined> {
  try {
    return await readFile(join(directory, file), 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

export async function readNumber(directory: string, file: string): Promise<number | undefined> {
  const text = await readText(directory, file)
  const value = Number(text)
  return text === undefined || text.trim() === '' || !Number.isFinite(value) ? undefined : value
}

/** A value from a file of lines `name value`. */
export async function readField(directory: string, file: string, name: string): Promise<number | undefined> {
  return fieldOf(await readText(directory, file), name)
}

/** A field of a file that is asked for often. */
export interface WatchedField {
  /** At once: these files are not on a disk, and to ask for one takes less than to wait for it. */
  value(): number | undefined
  close(): void
}

/** Stays open from the first look until `close`, or a look that finds the file gone: from then on nothing is known. */
export function watchField(directory: string, file: string, name: string): WatchedField {
  const text = Buffer.alloc(MAX_WATCHED_BYTES)
  let fd: number | undefined
  let isOver = false
  const close = () => {
    isOver = true
    if (fd !== undefined) closeSync(fd)
    fd = undefined
  }
  return {
    value() {
      if (isOver) return undefined
      try {
        fd ??= openSync(join(directory, file), 'r')
        return fieldOf(text.toString('latin1', 0, readSync(fd, text, 0, text.length, 0)), name)
      } catch (error) {
        close()
        if (isMissing(error)) return undefined
        throw error
      }
    },
    close,
  }
}

function fieldOf(text: string | undefined, name: string): number | undefined {
  const line = text?.split('\n').find((candidate) => candidate.startsWith(`${name} `))
  return line === undefined ? undefined : Number(line.slice(name.length + 1))
}

/**
 * Ends what is in the group and removes it. Killing and removing take turns, since a process may fork between
 * the reading of the list and the signal, and a dead one stays in the group until its parent has waited for it.
 */
export async function emptyAndRemove(directory: string): Promise<void> {
  const deadline = performance.now() + REMOVE_WITHIN_MS
  for (;;) {
    try {
      await rmdir(directory)
      return
    } catch (error) {
      if (isMissing(error)) return
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || performance.now() > deadline) throw error
    }
    await killMembers(directory)
    await delay(2)
  }
}

async function killMembers(directory: string): Promise<void> {
  const members = (await readText(directory, 'cgroup.procs')) ?? ''
  for (const line of members.split('\n')) {
    const pid = Number(line)
    // 0: a process outside our pid namespace, which is nobody we started.
    if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) continue
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
}

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code
  // ENODEV: the group was removed between open and read.
  return code === 'ENOENT' || code === 'ENODEV'
}
