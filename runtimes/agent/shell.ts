import type { Readable } from 'node:stream'
import type { Agent, AgentProcess, ExitStatus } from '../contract/agent.ts'
import { type Deferred, deferred } from './deferred.ts'
import { OutputTap } from './output-tap.ts'
import { parseShellTimes, type ShellTimes, timesBetween } from './shell-times.ts'

export interface ShellOptions {
  /** A POSIX shell: `sh`, `bash`, `dash`, busybox's. Default `sh`. */
  readonly shell?: string
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** Output that background jobs write while no command runs. Without it that output is dropped. */
  readonly onBackgroundOutput?: (source: 'stdout' | 'stderr', data: Buffer) => void
  /** How long an interrupted command may take to end before the shell is ended with it. Default 1 s. */
  readonly interruptGraceMs?: number
  /** How long the shell may take to start, and to answer at first. Default 10 s each. */
  readonly startTimeoutMs?: number
  /** How long the agent may take to tell the end of a shell that it was told to kill. Default 10 s. */
  readonly endTimeoutMs?: number
}

export interface ShellRunOptions {
  /** The command's pipe is not read on until what this returns has settled. */
  readonly onStdout?: (data: Buffer) => void | Promise<void>
  readonly onStderr?: (data: Buffer) => void | Promise<void>
  /** Default: none. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface ShellResult {
  /** As `$?`; 128 and the signal where that ended the shell itself. */
  readonly exitCode: number
  readonly durationMs: number
  /** It outran `timeoutMs`, and was interrupted. */
  readonly timedOut: boolean
  /** The shell has ended: by `exit`, by a signal, or because an interrupted command did not end. */
  readonly shellEnded: boolean
  /** Of the shell and of what it waited for meanwhile, as fine as it counts; absent where it does not say. */
  readonly used?: ShellTimes
}

export interface Shell extends AsyncDisposable {
  /**
   * Runs a command after those before it, in the same shell: directory, variables, functions and options stay.
   * Its stdin is /dev/null. Rejects with a `ShellError` where the shell has ended before, with the signal's
   * reason where it was aborted, and with an `AgentError` where the connection is gone.
   */
  run(command: string, options?: ShellRunOptions): Promise<ShellResult>
  /** Resolves when the shell has ended. */
  readonly closed: Promise<void>
  /** Ends the shell and everything it has started, and resolves when it has ended. */
  close(): Promise<void>
}

export class ShellError extends Error {
  readonly code: 'closed' | 'failed' | 'invalid'

  constructor(code: ShellError['code'], message: string) {
    super(message)
    this.name = 'ShellError'
    this.code = code
  }
}

/** SIGINT and SIGKILL. */
const INTERRUPT = 2
const KILL = 9
const INTERRUPT_AGAIN_MS = 100
const DEFAULT_TIMEOUT_MS = 10_000
/** A marker is a few digits and times; whatever is longer is not one of ours. */
const MAX_MARKER_BYTES = 512

/**
 * Starts a shell that reads our frames as its script. Each frame is one `eval` of a quoted text, so that no
 * command, however broken, reaches into the next; and one line on a descriptor that no command has, so that
 * what commands print is never taken for it.
 */
export async function openShell(agent: Agent, options: ShellOptions): Promise<Shell> {
  const shell = options.shell ?? 'sh'
  const { startTimeoutMs = DEFAULT_TIMEOUT_MS } = options
  const spawning = agent.spawn({
    // `-s` and not the name of a pipe: the name would stand before each of the shell's own messages.
    argv: ['/bin/sh', '-c', 'exec "$0" -s <&3 3<&-', shell],
    env: options.env,
    cwd: options.cwd,
    control: true,
  })
  const process = await within(spawning, startTimeoutMs)
  if (process === undefined) {
    // Should it come up after all, nobody waits for it.
    spawning.then((late) => late.signal(KILL, 'tree'), nothing)
    throw new ShellError('failed', `${shell} was not started within ${startTimeoutMs} ms`)
  }
  const session = new ShellSession(process, options)
  await session.start(shell, startTimeoutMs)
  return session
}

/** `undefined`: it has not settled by then. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const late = deferred<undefined>()
  const timer = setTimeout(() => late.resolve(undefined), ms)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

interface CommandEnd {
  readonly exitCode: number
  readonly shellEnded: boolean
  /** Since the shell began. */
  readonly times?: ShellTimes | undefined
}

class ShellSession implements Shell {
  readonly closed: Promise<void>
  readonly #process: AgentProcess
  readonly #stdout: OutputTap
  readonly #stderr: OutputTap
  readonly #markers: Readable
  readonly #graceMs: number
  readonly #endTimeoutMs: number
  /** Resolves when it has ended as far as anybody here can tell: by the agent's word, or long after a SIGKILL. */
  readonly #gone = deferred<ExitStatus>()
  #killTimer: NodeJS.Timeout | undefined
  #queue: Promise<unknown> = Promise.resolve()
  #frame = posixFrame
  #sequence = 0
  #lastExitCode = 0
  /** At the end of the command before. */
  #lastTimes: ShellTimes = { cpuUserUs: 0, cpuSystemUs: 0 }
  #ended = false
  /** Of a marker that has not come whole yet. */
  #partial = ''
  #onEnd: Deferred<CommandEnd> | undefined

  constructor(process: AgentProcess, options: ShellOptions) {
    this.#process = process
    this.#graceMs = options.interruptGraceMs ?? 1000
    this.#endTimeoutMs = options.endTimeoutMs ?? DEFAULT_TIMEOUT_MS
    const background = options.onBackgroundOutput
    this.#stdout = new OutputTap(process.stdout, (data) => background?.('stdout', data))
    this.#stderr = new OutputTap(process.stderr, (data) => background?.('stderr', data))
    this.#markers = process.controlOut as Readable
    this.#markers.on('data', (piece: Buffer) => this.#readMarkers(piece))
    process.exited.then((status) => {
      // Whatever ended it: what it has started ends with it.
      process.signal(KILL, 'tree')
      this.#gone.resolve(status)
    }, this.#gone.reject)
    this.#gone.promise.then(
      ({ code, signal = 0, ...times }) =>
        this.#onEnd?.resolve({ exitCode: code ?? 128 + signal, shellEnded: true, times }),
      (reason: Error) => this.#onEnd?.reject(reason),
    )
    const settled = () => {
      this.#ended = true
      clearTimeout(this.#killTimer)
    }
    this.closed = this.#gone.promise.then(settled, settled)
  }

  /** The first frame shows that the shell is one that can do this, and which kind it is. */
  async start(shell: string, timeoutMs: number): Promise<void> {
    const errors: Buffer[] = []
    // A command that is interrupted ends; the shell that waits for it goes on. Programs it starts do not inherit this.
    const result = await this.#runNow('trap : INT; test -z "${BASH_VERSION-}"', {
      onStderr: (data) => void errors.push(data),
      timeoutMs,
    })
    this.#lastExitCode = 0
    if (result.shellEnded || result.timedOut || result.exitCode > 1) {
      await this.close()
      const said = Buffer.concat(errors).toString('utf8').trim()
      throw new ShellError('failed', `${shell} does not start as a POSIX shell${said === '' ? '' : `: ${said}`}`)
    }
    if (result.exitCode === 0) return
    // bash takes an unfinished quote inside `eval` for the end of its own script, but not inside a loop.
    this.#process.controlIn?.write('while IFS= read -r __croft; do eval "$__croft"; done; exit\n')
    this.#frame = bashFrame
  }

  run(command: string, options: ShellRunOptions = {}): Promise<ShellResult> {
    if (command.includes('\0')) return Promise.reject(new ShellError('invalid', 'command contains a NUL'))
    const turn = this.#queue.then(() => {
      options.signal?.throwIfAborted()
      if (this.#ended) throw new ShellError('closed', 'the shell has ended')
      return this.#runNow(command, options)
    })
    // The next one waits for the end of this one, whatever it was.
    this.#queue = turn.then(nothing, nothing)
    return turn
  }

  async close(): Promise<void> {
    if (!this.#ended) this.#kill()
    await this.closed
    for (const stream of [this.#process.stdout, this.#process.stderr, this.#markers]) stream.destroy()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #runNow(command: string, options: ShellRunOptions): Promise<ShellResult> {
    const startedAt = performance.now()
    this.#sequence += 1
    this.#stdout.deliverTo(options.onStdout)
    this.#stderr.deliverTo(options.onStderr)

    const marker = deferred<CommandEnd>()
    this.#onEnd = marker
    let timedOut = false
    const stop = this.#interruptOn(options, () => {
      timedOut = true
    })
    try {
      this.#process.controlIn?.write(this.#frame(command, this.#sequence, this.#lastExitCode))
      const end = await marker.promise
      // All that the command wrote is here by now, though maybe not yet taken.
      await Promise.all([this.#stdout.delivered(), this.#stderr.delivered()])
      this.#lastExitCode = end.exitCode
      if (end.shellEnded) await this.close()
      options.signal?.throwIfAborted()
      const { exitCode, shellEnded, times } = end
      const used = times === undefined ? {} : { used: timesBetween(this.#lastTimes, times) }
      if (times !== undefined) this.#lastTimes = times
      return { exitCode, shellEnded, ...used, timedOut, durationMs: performance.now() - startedAt }
    } finally {
      stop()
      this.#onEnd = undefined
      this.#stdout.deliverTo(undefined)
      this.#stderr.deliverTo(undefined)
    }
  }

  /** Interrupts what runs when its time is over or it is aborted, and kills it if that does not help. */
  #interruptOn({ timeoutMs, signal }: ShellRunOptions, onTimeout: () => void): () => void {
    const timers: NodeJS.Timeout[] = []
    let interrupted = false
    const interrupt = () => {
      if (interrupted || this.#ended) return
      interrupted = true
      // The group's background jobs ignore this one, as POSIX has shells without job control start them.
      this.#process.signal(INTERRUPT, 'group')
      timers.push(
        // Once more: the shell may have been about to start what should have got the first.
        setTimeout(() => this.#process.signal(INTERRUPT, 'group'), INTERRUPT_AGAIN_MS),
        setTimeout(() => this.#kill(), this.#graceMs),
      )
    }
    const outrun = () => {
      onTimeout()
      interrupt()
    }
    if (timeoutMs !== undefined) timers.push(setTimeout(outrun, timeoutMs))
    signal?.addEventListener('abort', interrupt, { once: true })
    return () => {
      for (const timer of timers) clearTimeout(timer)
      signal?.removeEventListener('abort', interrupt)
    }
  }

  #readMarkers(piece: Buffer): void {
    this.#partial += piece.toString('latin1')
    for (let marked = MARKER.exec(this.#partial); marked !== null; marked = MARKER.exec(this.#partial)) {
      const [whole, sequence, exitCode, times = ''] = marked
      this.#partial = this.#partial.slice(whole.length)
      // Only a command that went looking for the descriptor can write another: it harms its own session.
      if (Number(sequence) !== this.#sequence) return this.#kill()
      const lines = times.split('\n').slice(0, -1)
      this.#onEnd?.resolve({ exitCode: Number(exitCode), shellEnded: false, times: parseShellTimes(lines) })
    }
    const [first = '', more] = this.#partial.split('\n', 2)
    const isNone = more !== undefined && !/^\d+ \d+$/.test(first)
    if (isNone || this.#partial.length > MAX_MARKER_BYTES) this.#kill()
  }

  #kill(): void {
    this.#process.signal(KILL, 'tree')
    this.#killTimer ??= setTimeout(() => {
      this.#gone.resolve({ signal: KILL, cpuUserUs: 0, cpuSystemUs: 0, maxRssBytes: 0 })
    }, this.#endTimeoutMs)
  }
}

/**
 * `command` keeps a syntax error in the text from ending the shell. The text runs without our two descriptors.
 * The marker is silent under `set -x`.
 */
function posixFrame(command: string, sequence: number, lastExitCode: number): string {
  return `${evaluation(quote(command), command, lastExitCode)}\n${marker(sequence)}\n`
}

/** One line, for `read`; in a loop of one turn, so that a stray `break` does not leave the other. */
function bashFrame(command: string, sequence: number, lastExitCode: number): string {
  const text = quote(command).split('\n').join(`'$'\\n''`)
  return `for __croft in 1; do ${evaluation(text, command, lastExitCode)}; done; ${marker(sequence)}\n`
}

function evaluation(quoted: string, command: string, lastExitCode: number): string {
  // The marker has changed `$?`: a command that asks for it gets it back.
  const status = lastExitCode !== 0 && command.includes('$?') ? `(exit ${lastExitCode}); ` : ''
  return `${status}command eval ${quoted} </dev/null 4>&-`
}

/** Number of the command, its exit code; what `times` prints; a dot. */
const MARKER = /^(\d+) (\d+)\n((?:[^.\n][^\n]*\n)*)\.\n/

function marker(sequence: number): string {
  return `{ command printf '%s %s\\n' ${sequence} "$?" >&4; command times >&4; command printf '.\\n' >&4; } 2>/dev/null`
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

function nothing(): void {
  // What comes of the command is told to whoever ran it.
}
