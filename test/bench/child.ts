import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

export interface RunOptions {
  readonly signal: AbortSignal
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

/** A command that ended otherwise than with 0. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly stderr: string

  constructor(command: string, how: string, stderr: string) {
    const said = stderr.trim().split('\n').slice(-3).join(' | ')
    super(`${command} ended with ${how}${said === '' ? '' : `: ${said}`}`)
    this.stderr = stderr
  }
}

/** Runs to the end and resolves with what was written to stdout. Rejects with a `CommandError`, or the signal's reason. */
export async function runToEnd(file: string, args: readonly string[], options: RunOptions): Promise<string> {
  options.signal.throwIfAborted()
  const child = spawn(file, args, {
    // In a group of its own, so that what it started ends with it.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
  })
  const stop = () => killGroup(child)
  options.signal.addEventListener('abort', stop, { once: true })
  try {
    const [stdout, stderr, [code, signal]] = await Promise.all([
      textOf(child.stdout),
      textOf(child.stderr),
      once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
    ])
    options.signal.throwIfAborted()
    if (code !== 0)
      throw new CommandError([file, ...args].join(' '), code === null ? String(signal) : `code ${code}`, stderr)
    return stdout
  } finally {
    options.signal.removeEventListener('abort', stop)
  }
}

const END_GRACE_MS = 20_000

/** Resolves when a child that was told to end has done so. One that does not gets SIGKILL after 20 seconds. */
export async function endChild(child: ChildProcess, signal?: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  if (signal !== undefined) child.kill(signal)
  const timer = setTimeout(() => child.kill('SIGKILL'), END_GRACE_MS)
  await ended
  clearTimeout(timer)
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error) {
    // It ended meanwhile, and all of its group with it.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}
