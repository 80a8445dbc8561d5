import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { builtFile } from '../built-file.ts'
import { ServerStartError } from '../errors.ts'
import { makePrivateDir, userDirs } from './user-dirs.ts'

/** A server that nobody uses any more ends after this time. */
const IDLE_EXIT_SECONDS = 600
const LOG_TAIL_BYTES = 4096
const LOG_TAIL_LINES = 12

export interface StartOptions {
  readonly socket: string
  readonly timeoutMs: number
  readonly env: NodeJS.ProcessEnv
}

/**
 * Starts a server for this user that outlives this process, and resolves when it says that it is ready.
 * Rejects with a `ServerStartError` that has the end of the log. Of two that are started at once the lock of
 * the data directory lets one live; the other starter gets this error while the winner is on its way up.
 */
export async function startServer(options: StartOptions): Promise<void> {
  const dirs = userDirs(options.env)
  await makePrivateDir(dirs.runtime)
  await makePrivateDir(dirs.state)
  const logFile = join(dirs.state, 'server.log')
  const main = builtFile('server/main.js')
  if (!existsSync(main)) {
    throw new ServerStartError(
      `The server's program is missing: ${main}`,
      { file: logFile, tail: '' },
      {
        remedy: 'Build the package with `npm run build`, or install it again',
      },
    )
  }

  const log = await open(logFile, 'a', 0o600)
  try {
    const { size: logStart } = await log.stat()
    const args = [
      main,
      ...['--socket', options.socket],
      ...['--data-dir', join(dirs.state, 'data')],
      ...['--idle-exit', String(IDLE_EXIT_SECONDS)],
      ...['--ready-fd', '3'],
    ]
    const child = spawn(process.execPath, args, {
      // A session of its own: Ctrl-C in this terminal is not meant for it.
      detached: true,
      cwd: '/',
      stdio: ['ignore', log.fd, log.fd, 'pipe'],
      env: serverEnv(options.env),
    })
    const outcome = await firstWord(child, options.timeoutMs)
    if (outcome === 'ready') return
    const tail = await readTail(logFile, logStart)
    throw new ServerStartError(describe(outcome, options.timeoutMs), { file: logFile, tail })
  } finally {
    await log.close()
  }
}

type Outcome = 'ready' | 'timeout' | number | NodeJS.Signals | Error

/** The child is let go whatever comes; only one that says nothing in time is killed. */
function firstWord(child: ChildProcess, timeoutMs: number): Promise<Outcome> {
  const readyPipe = child.stdio[3] as Readable
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      finish('timeout')
    }, timeoutMs)
    const finish = (outcome: Outcome) => {
      clearTimeout(timer)
      readyPipe.destroy()
      child.removeAllListeners()
      // An error after this has nobody to go to, and an 'error' without a listener would end this process.
      child.on('error', () => undefined)
      child.unref()
      resolve(outcome)
    }
    readyPipe.once('data', () => finish('ready'))
    child.once('error', finish)
    child.once('exit', (code, signal) => finish(code ?? signal ?? 1))
  })
}

/** Settings of this process, as a debugger's, and of its client are not the server's. */
function serverEnv(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const notForServer = new Set(['NODE_OPTIONS', 'NODE_CHANNEL_FD', 'CROFT_SERVER', 'CROFT_TOKEN', 'CROFT_CLIENT_KEY'])
  return Object.fromEntries(Object.entries(env).filter(([name]) => !notForServer.has(name)))
}

function describe(outcome: Exclude<Outcome, 'ready'>, timeoutMs: number): string {
  if (outcome === 'timeout') return `A server was started and was not ready within ${timeoutMs} ms`
  if (outcome instanceof Error) return `A server could not be started (${outcome.message})`
  const how = typeof outcome === 'number' ? `with code ${outcome}` : `by ${outcome}`
  return `A server was started and ended ${how} before it was ready`
}

async function readTail(path: string, from: number): Promise<string> {
  const file = await open(path, 'r')
  try {
    return await lastLines(file, from)
  } finally {
    await file.close()
  }
}

async function lastLines(file: FileHandle, from: number): Promise<string> {
  const { size } = await file.stat()
  const start = Math.max(from, size - LOG_TAIL_BYTES)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(LOG_TAIL_BYTES), 0, LOG_TAIL_BYTES, start)
  return buffer.toString('utf8', 0, bytesRead).trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n')
}
