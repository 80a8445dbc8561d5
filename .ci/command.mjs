import { spawn } from 'node:child_process'

/**
 * @typedef {object} CommandOptions
 * @property {string} [cwd]
 * @property {Record<string, string>} [env] Added to the environment of this process.
 * @property {AbortSignal} [signal] Ends the command and everything it started.
 * @property {(line: string) => void} [onLine] Each line of stdout and stderr as it comes.
 *
 * @typedef {object} CommandResult
 * @property {boolean} ok It exited with 0.
 * @property {string} ending `exit code 2`, `signal SIGKILL`, or why it could not be started.
 * @property {string[]} lines The last lines of its output, at most `keptLines`.
 */

const keptLines = 400
const killAfterMs = 5000

/**
 * Runs a program without a terminal and without input. Never rejects: a program that cannot be started is a
 * result too.
 *
 * @param {string} file
 * @param {readonly string[]} args
 * @param {CommandOptions} [options]
 * @returns {Promise<CommandResult>}
 */
export function runCommand(file, args, options = {}) {
  return new Promise((resolve) => {
    // A group of its own, so that what the program starts (npm: install scripts, apt: dpkg) ends with it.
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    /** @type {string[]} */
    const lines = []
    const take = lineTaker((line) => {
      lines.push(line)
      if (lines.length > keptLines) lines.shift()
      options.onLine?.(line)
    })
    child.stdout.setEncoding('utf8').on('data', take)
    child.stderr.setEncoding('utf8').on('data', take)

    /** @type {NodeJS.Timeout | undefined} */
    let killTimer
    const stop = () => {
      signalGroup(child.pid, 'SIGTERM')
      killTimer = setTimeout(() => signalGroup(child.pid, 'SIGKILL'), killAfterMs)
    }
    if (options.signal?.aborted) stop()
    else options.signal?.addEventListener('abort', stop, { once: true })

    /** @param {string} ending @param {boolean} ok */
    const finish = (ending, ok) => {
      clearTimeout(killTimer)
      options.signal?.removeEventListener('abort', stop)
      take('\n')
      resolve({ ok, ending, lines })
    }
    child.on('error', (error) => finish(error.message, false))
    child.on('close', (code, signal) => {
      finish(signal === null ? `exit code ${code}` : `signal ${signal}`, code === 0)
    })
  })
}

/** @param {(line: string) => void} emit */
function lineTaker(emit) {
  let rest = ''
  return (/** @type {string} */ text) => {
    // A progress bar overwrites its line with carriage returns: each state counts as a line.
    const parts = (rest + text).split(/\r\n|\n|\r/)
    rest = parts.pop() ?? ''
    for (const part of parts) if (part.trim() !== '') emit(part)
  }
}

/** @param {number | undefined} pid @param {NodeJS.Signals} signal */
function signalGroup(pid, signal) {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
