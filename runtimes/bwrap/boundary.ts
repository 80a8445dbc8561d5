import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Duplex, type Readable } from 'node:stream'
import { type Ended, type LaunchSpec, RuntimeError } from '../contract/runtime.ts'
import { CHANNEL_FD } from './plan.ts'

/** One bubblewrap that has been started. */
export interface Boundary {
  readonly pid: number
  readonly stream: Duplex
  readonly ended: Promise<Ended>
  /** Of process 1 inside, on the host, while there is one. */
  initPid(): number | undefined
  /** Where it waits: it may go on. */
  go(): void
  stop(): Promise<void>
}

export interface BoundaryProgram {
  readonly file: string
  readonly argv: string[]
  /** It waits for a byte on its stdin. */
  readonly waits: boolean
  /** Its descriptors 4 and on; the caller closes its own. */
  readonly inherited: number[]
}

export function startBoundary({ file, argv, waits, inherited }: BoundaryProgram, spec: LaunchSpec): Boundary {
  const subprocess = spawn(file, argv, {
    stdio: [waits ? 'pipe' : 'ignore', 'ignore', 'pipe', 'pipe', ...inherited],
    // libuv also drops the supplementary groups. Only root can be somebody else.
    ...(process.getuid?.() === 0 && { uid: spec.hostUid, gid: spec.hostGid }),
    cwd: '/',
    // Its end is bound to ours by the kernel (die-with-parent), also when we are killed.
    env: {},
  })
  const stream: unknown = subprocess.stdio[CHANNEL_FD]
  // As when this process may open no more descriptors.
  if (!(stream instanceof Duplex)) throw new Error('no channel could be made')
  // A broken channel is an end like any other, and `ended` says why; until somebody reads it nobody listens.
  stream.on('error', () => stream.destroy())
  // It may have ended before it is told to go on, which `ended` says.
  subprocess.stdin?.on('error', () => undefined)
  const ended = watchEnd(subprocess, subprocess.stderr as Readable)
  let over = false
  void ended.then(() => {
    over = true
  })
  const { pid } = subprocess
  return {
    initPid: () => (pid === undefined ? undefined : childrenOf(pid)[0]),
    go: () => void subprocess.stdin?.end('.'),
    // Where the start itself failed there is none, and `ended` says why.
    pid: pid ?? 0,
    stream,
    ended,
    async stop() {
      subprocess.stdin?.destroy()
      if (!over && pid !== undefined) killInit(pid)
      await ended
      stream.destroy()
    },
  }
}

const MAX_LAST_WORDS_BYTES = 4096

interface EndingProcess {
  once(event: 'exit', listener: (code: number | null, signal: string | null) => void): unknown
  once(event: 'error', listener: (error: Error) => void): unknown
}

/** bubblewrap waits for the agent, and the kernel lets process 1 end last: when it has exited, all have. */
function watchEnd(subprocess: EndingProcess, stderr: Readable): Promise<Ended> {
  const words: Buffer[] = []
  let bytes = 0
  stderr.on('data', (piece: Buffer | string) => {
    if (bytes >= MAX_LAST_WORDS_BYTES) return
    words.push(Buffer.from(piece as string).subarray(0, MAX_LAST_WORDS_BYTES - bytes))
    bytes += piece.length
  })
  const said = new Promise<void>((resolve) => stderr.once('close', resolve))
  return new Promise((resolve) => {
    const end = async (how: Omit<Ended, 'message'>, otherwise: string): Promise<void> => {
      await said
      resolve({ ...how, message: Buffer.concat(words).toString('utf8').trim() || otherwise })
    }
    subprocess.once('error', (error) => void end({}, error.message))
    subprocess.once('exit', (code, signal) => {
      if (signal !== null) void end({ signal }, `ended by ${signal}`)
      else void end({ exitCode: code ?? 0 }, `exited with ${code}`)
    })
  })
}

/**
 * Kills process 1 of the sandbox, with which the kernel ends all the others. bubblewrap is killed itself only
 * where it has no child yet: otherwise it is the one that tells us that all of them have gone.
 */
function killInit(bwrapPid: number): void {
  const children = childrenOf(bwrapPid)
  for (const pid of children.length > 0 ? children : [bwrapPid]) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    return text
      .split(' ')
      .filter((word) => word !== '')
      .map(Number)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ESRCH') return []
    throw error
  }
}

/** Resolves when the agent has spoken. What it said stays in the stream for whoever reads it next. */
export async function firstWords(
  { stream, ended }: Boundary,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  let settle: (error?: Error) => void = () => undefined
  const spoken = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve() : reject(error))
  })
  const onReadable = () =>
    settle(stream.readableLength > 0 ? undefined : new RuntimeError('failed', 'bwrap', 'the agent has gone at once'))
  const onAbort = () => settle(signal?.reason instanceof Error ? signal.reason : new Error('aborted'))
  const onError = (error: Error) => settle(new RuntimeError('failed', 'bwrap', `the channel broke: ${error.message}`))
  const timer = setTimeout(
    () => settle(new RuntimeError('failed', 'bwrap', `the agent did not speak within ${timeoutMs} ms`)),
    timeoutMs,
  )
  stream.once('readable', onReadable)
  stream.once('error', onError)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    await Promise.race([
      spoken,
      // Why it ended says more than that the stream did.
      ended.then(({ message }) =>
        Promise.reject(new RuntimeError('failed', 'bwrap', `bubblewrap did not start: ${message}`)),
      ),
    ])
  } catch (error) {
    if (!(error instanceof RuntimeError) || !stream.readableEnded) throw error
    throw new RuntimeError('failed', 'bwrap', `bubblewrap did not start: ${(await ended).message}`, { cause: error })
  } finally {
    clearTimeout(timer)
    stream.removeListener('readable', onReadable)
    stream.removeListener('error', onError)
    signal?.removeEventListener('abort', onAbort)
  }
}
