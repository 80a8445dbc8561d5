import type { MessageInitShape } from '@bufbuild/protobuf'
import { CommandService, type ExecInputSchema, type ExecRequestSchema, SandboxService } from '../proto/index.ts'
import { BackgroundCommand, type CommandInfo, commandInfo } from './background-command.ts'
import type { Connection } from './client/connection.ts'
import { durationFrom } from './durations.ts'
import { InvalidArgumentError } from './errors.ts'
import { type RunningCommand, runningCommand, type WatchOptions } from './running-command.ts'

/** A shell command, run by `/bin/sh -c`; or a program and its arguments, with no shell between. */
export type Command = string | readonly (string | Uint8Array)[]

export interface RunOptions extends WatchOptions {
  /** Default: no input at all. */
  readonly stdin?: string | Uint8Array | AsyncIterable<string | Uint8Array>
  /** Added to the sandbox's own environment; nothing comes from this process. */
  readonly env?: Readonly<Record<string, string>>
  /** Relative to the view, or absolute inside the sandbox. Default: the root of the view. */
  readonly cwd?: string
  /** The sandbox's own, by name or number; any other is an `UnsupportedError`. */
  readonly user?: string
  /**
   * Milliseconds after which the command is killed, and the promise rejects with a `CommandTimeoutError` that
   * has the output so far. Default: the server's limit.
   */
  readonly timeoutMs?: number
}

export interface StartOptions extends Pick<RunOptions, 'env' | 'cwd' | 'user'> {
  /** All the input there is; at most 1 MiB. */
  readonly stdin?: string | Uint8Array
  /** Milliseconds after which the command is killed. Default: as long as the server lets any command run. */
  readonly timeoutMs?: number
  /** Gives up for as long as the command has not started. */
  readonly signal?: AbortSignal
}

/** Commands of one sandbox. */
export class Commands {
  readonly #connection: Connection
  readonly #sandboxId: string

  constructor(connection: Connection, sandboxId: string) {
    this.#connection = connection
    this.#sandboxId = sandboxId
  }

  /**
   * Starts a command at once. A code other than 0 is a result, unless `check` is set. Rejects with
   * `NotRunningError`, `NotFoundError`, `CommandTimeoutError`, `CommandFailedError` or `AbortedError`.
   */
  run(command: Command, options: RunOptions = {}): RunningCommand {
    const open = (signal: AbortSignal) => {
      const request = execRequest(this.#sandboxId, command, options)
      const { stdin = '' } = options
      if (isSmall(stdin)) {
        const whole = { ...request, stdinBytes: toBytes(stdin) }
        return this.#connection.serverStream(SandboxService.method.execStream, whole, { signal })
      }
      return this.#connection.bidi(SandboxService.method.execInteractive, inputs(request, stdin), { signal })
    }
    return runningCommand(commandText(command), open, options)
  }

  /**
   * Starts a command that goes on by itself: it is not ended when this program ends or loses its connection. Its
   * output is kept up to a limit of the server. One that cannot be started has ended with 126 or 127.
   */
  async start(command: Command, options: StartOptions = {}): Promise<BackgroundCommand> {
    const { stdin = '', signal } = options
    if (!isSmall(stdin)) throw new InvalidArgumentError('stdin is larger than 1 MiB', 'stdin')
    const request = { ...execRequest(this.#sandboxId, command, options), stdinBytes: toBytes(stdin) }
    const started = await this.#connection.unary(CommandService.method.startCommand, { request }, { signal })
    return new BackgroundCommand(this.#connection, this.#sandboxId, started.id)
  }

  /** Background commands: those that run, and those that have ended for as long as the server keeps them. */
  async list(options: { readonly signal?: AbortSignal } = {}): Promise<CommandInfo[]> {
    const request = { sandboxId: this.#sandboxId }
    const { commands } = await this.#connection.unary(CommandService.method.listCommands, request, options)
    return commands.map(commandInfo)
  }

  /** A background command by its id. Whether there is such a one shows at its first use. */
  get(id: string): BackgroundCommand {
    return new BackgroundCommand(this.#connection, this.#sandboxId, id)
  }
}

/** Throws an `InvalidArgumentError` naming the option. */
export function execRequest(
  sandboxId: string,
  command: Command,
  options: Pick<RunOptions, 'env' | 'cwd' | 'user' | 'timeoutMs'>,
): MessageInitShape<typeof ExecRequestSchema> {
  if (command.length === 0) throw new InvalidArgumentError('command is empty', 'command')
  return {
    sandboxId,
    ...(typeof command === 'string' ? { command } : { argv: command.map(toBytes) }),
    env: { ...options.env },
    workdir: options.cwd ?? '',
    user: options.user ?? '',
    ...(options.timeoutMs === undefined ? {} : { timeout: durationFrom(options.timeoutMs, 'timeoutMs') }),
    reportExit: true,
  }
}

function commandText(command: Command): string {
  if (typeof command === 'string') return command
  return command.map((word) => (typeof word === 'string' ? word : Buffer.from(word).toString('utf8'))).join(' ')
}

/** What goes along with the request; more is sent as the command takes it. */
const MAX_INLINE_STDIN_BYTES = 1024 * 1024
const STDIN_CHUNK_BYTES = 64 * 1024

type Input = MessageInitShape<typeof ExecInputSchema>

async function* inputs(
  request: MessageInitShape<typeof ExecRequestSchema>,
  stdin: string | Uint8Array | AsyncIterable<string | Uint8Array>,
): AsyncGenerator<Input> {
  yield { input: { case: 'start', value: { request } } }
  const pieces = typeof stdin === 'string' || stdin instanceof Uint8Array ? [stdin] : stdin
  for await (const piece of pieces) {
    const bytes = toBytes(piece)
    for (let at = 0; at < bytes.length; at += STDIN_CHUNK_BYTES) {
      yield { input: { case: 'stdin', value: bytes.subarray(at, at + STDIN_CHUNK_BYTES) } }
    }
  }
  yield { input: { case: 'stdinEnd', value: {} } }
}

function isSmall(stdin: string | Uint8Array | AsyncIterable<unknown>): stdin is string | Uint8Array {
  if (typeof stdin === 'string') return Buffer.byteLength(stdin) <= MAX_INLINE_STDIN_BYTES
  return stdin instanceof Uint8Array && stdin.length <= MAX_INLINE_STDIN_BYTES
}

function toBytes(piece: string | Uint8Array): Uint8Array {
  return typeof piece === 'string' ? Buffer.from(piece, 'utf8') : piece
}
