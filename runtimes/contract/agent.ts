import type { Duplex, Readable, Writable } from 'node:stream'

/** The agent inside one sandbox, as the server sees it. Everything it says is hostile input. */
export interface Agent {
  /** Rejects with an `AgentError`: `spawn` and an errno name where the program cannot be started. */
  spawn(spec: SpawnSpec): Promise<AgentProcess>
  /**
   * Takes connections to a port of 127.0.0.1 inside, from when it resolves; once. Rejects with an `AgentError`
   * `connect`.
   */
  listen(options: ListenOptions): Promise<void>
  /** To a port of the loop-back inside. Rejects with an `AgentError` `connect` and an errno name. */
  connect(port: number, family: 4 | 6): Promise<Duplex>
  /** Resolves when the connection is over: undefined after `close`, else why. */
  readonly closed: Promise<AgentError | undefined>
  close(): void
  /** Closes it for what it did not say: `closed` resolves with an `AgentError` `silent`. */
  distrust(message: string): void
}

export interface ListenOptions {
  readonly port: number
  /** At one time, at most 512; further ones wait inside. */
  readonly maxConnections: number
  /** Whoever is called owns the stream, and hears its `error`. */
  readonly onConnection: (stream: Duplex) => void
}

export interface SpawnSpec {
  /** At least the program. Looked up in the PATH of `env` where it has no slash. Bytes, NUL-free. */
  readonly argv: readonly (string | Buffer)[]
  /** The whole environment; nothing is inherited. */
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** Without it stdin is /dev/null. */
  readonly stdin?: boolean
  /** stdin, stdout and stderr are one terminal; what it prints comes on `stdout`. */
  readonly terminal?: { readonly rows: number; readonly columns: number }
  /**
   * Two further descriptors, for a shell that is kept: it reads from 3 and writes to 4. Before bytes from 4
   * are passed on, all that stood in stdout and stderr at that time is, so that they mark where output ends.
   */
  readonly control?: boolean
  /** What stdout and stderr may bring together: with one byte more the whole tree is killed. Default: no limit. */
  readonly maxOutputBytes?: number
}

export interface AgentProcess {
  /** As inside the sandbox. */
  readonly pid: number
  /** Absent unless asked for. */
  readonly stdin: Writable | null
  readonly stdout: Readable
  /** Ends at once where there is a terminal. */
  readonly stderr: Readable
  readonly controlIn: Writable | null
  readonly controlOut: Readable | null
  /**
   * Resolves when the process itself has ended, which may be before its output has (a child may hold the
   * pipes). By then all that stood in its pipes when it ended is in `stdout` and `stderr`, unless it had a
   * terminal; so a reader that stops delays it. Rejects with an `AgentError` when the connection ends first.
   */
  readonly exited: Promise<ExitStatus>
  /** It was killed because it printed more than `maxOutputBytes`, of which as many are in the streams. */
  readonly outputExceeded: boolean
  /**
   * `tree`: every process that descends from it, also those that left its group or session, and also after it
   * has ended itself; with SIGKILL, all of them are dead when `exited` resolves. `process` and `group` reach
   * nothing once it has ended.
   */
  signal(signal: number, to: 'process' | 'group' | 'tree'): void
  resize(rows: number, columns: number): void
}

export interface ExitStatus {
  /** Absent where a signal ended it. */
  readonly code?: number
  readonly signal?: number
  readonly cpuUserUs: number
  readonly cpuSystemUs: number
  readonly maxRssBytes: number
}

export class AgentError extends Error {
  readonly code: 'spawn' | 'connect' | 'protocol' | 'silent' | 'closed'
  /** For `spawn` and `connect`: `ENOENT`, `ECONNREFUSED`, … */
  readonly errno?: string
  /** For `spawn`: what it was that failed; absent where the agent was not asked. */
  readonly stage?: 'setup' | 'cwd' | 'exec'

  constructor(code: AgentError['code'], message: string, errno?: string, stage?: AgentError['stage']) {
    super(message)
    this.name = 'AgentError'
    this.code = code
    if (errno !== undefined) this.errno = errno
    if (stage !== undefined) this.stage = stage
  }
}
