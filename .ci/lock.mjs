import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Holds a lock file while `work` runs. It names its holder, so one whose holder was killed is taken over.
 *
 * @template T
 * @param {string} path
 * @param {AbortSignal} signal
 * @param {(pid: number) => void} onWait Called once if another process holds it.
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(path, signal, onWait, work) {
  mkdirSync(dirname(path), { recursive: true })
  const own = `${path}.${process.pid}`
  writeFileSync(own, identity(process.pid))
  try {
    let told = false
    // link(2) is the one step that makes the lock with its contents, or fails because there is one.
    while (!tryLink(own, path)) {
      const holder = readHolder(path)
      if (holder === undefined) continue
      if (!isAlive(holder)) {
        removeStale(path, holder)
        continue
      }
      if (!told) onWait(holderPid(holder))
      told = true
      await sleep(pollMs, undefined, { signal })
    }
  } finally {
    rmSync(own, { force: true })
  }
  try {
    return await work()
  } finally {
    rmSync(path, { force: true })
  }
}

const pollMs = 200

/** @param {string} own @param {string} path */
function tryLink(own, path) {
  try {
    linkSync(own, path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

/** @param {string} path @returns {string | undefined} Undefined: it was given up since. */
function readHolder(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Between our look at the lock and its removal another process may have taken it over: what was moved away is
 * looked at again, and put back if it is not the dead holder's.
 *
 * @param {string} path @param {string} dead
 */
function removeStale(path, dead) {
  const aside = `${path}.stale.${process.pid}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
    throw error
  }
  if (readFileSync(aside, 'utf8') !== dead) tryLink(aside, path)
  rmSync(aside, { force: true })
}

/**
 * A process id and, where the system tells it, when that process started: ids are used again.
 *
 * @param {number} pid
 */
function identity(pid) {
  try {
    // Field 22, counted after the command's name, which may itself hold spaces and brackets.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').pop()?.split(' ') ?? []
    return `${pid} ${fields[19]}`
  } catch (error) {
    // No /proc on this system, or the process has just ended: then the id is all there is to compare.
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'))
      return `${pid}`
    throw error
  }
}

/** @param {string} holder */
function isAlive(holder) {
  try {
    process.kill(holderPid(holder), 0)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false
  }
  return identity(holderPid(holder)) === holder
}

/** @param {string} holder */
function holderPid(holder) {
  return Number.parseInt(holder, 10)
}
