import { constants } from 'node:os'
import { CommandService, type Command as WireCommand } from '../proto/index.ts'
import type { Connection } from './client/connection.ts'
import { RECONNECT_MS, Reconnect } from './client/reconnect.ts'
import type { OutputEvent } from './command-output.ts'
import { dateFrom } from './durations.ts'
import { type CommandUsage, FailedPreconditionError, InternalError, InvalidArgumentError } from './errors.ts'
import { endFromWire, streamOf } from './running-command.ts'

export interface CommandInfo {
  readonly id: string
  readonly sandboxId: string
  /** What is run, at most its first 1 KiB. */
  readonly command: string
  readonly startedAt: Date | undefined
  readonly endedAt?: Date
  /** Absent while it runs. */
  readonly exit?: CommandExit
  /** The cursor of the oldest output that is kept, and that after the newest. */
  readonly outputStart: number
  readonly outputEnd: number
}

export interface CommandExit {
  /** 128 + the signal's number where a signal ended it. */
  readonly exitCode: number
  readonly signal?: string
  readonly durationMs: number
  readonly oomKilled: boolean
  readonly usage?: CommandUsage
  /** It outran its `timeoutMs`. */
  readonly timedOut: boolean
  /** The sandbox ended under it. */
  readonly sandboxEnded: boolean
  /** It was killed because it printed more than `resources` let a command. */
  readonly outputExceeded: boolean
}

export interface BackgroundOutput extends OutputEvent {
  /** Goes on after this piece. */
  readonly cursor: number
  /** Bytes of output between the piece before, or the cursor that was asked for, and this one that are not kept any more. */
  readonly lostBytes: number
}

export interface BackgroundOutputOptions {
  /** Of the last piece that was dealt with: goes on after it. Default: from the beginning. */
  readonly cursor?: number
  /** Go on until the command has ended; false: to the end of what there is. Default true. */
  readonly follow?: boolean
  /** End the command when this reading is left or its program is gone. Default false. */
  readonly killOnLeave?: boolean
  /** How long to look for a server that is gone before the reading fails, in milliseconds. Default 30,000. */
  readonly reconnectMs?: number
  readonly signal?: AbortSignal
}

/** A command that goes on by itself. What is here is a handle: it holds nothing, and needs no closing. */
export class BackgroundCommand {
  readonly id: string
  readonly sandboxId: string
  readonly #connection: Connection

  /** @internal See `sb.commands.start()` and `sb.commands.get()`. */
  constructor(connection: Connection, sandboxId: string, id: string) {
    this.#connection = connection
    this.sandboxId = sandboxId
    this.id = id
  }

  /** Rejects with `NotFoundError` where the server does not keep it any more. */
  async info(options: { readonly signal?: AbortSignal } = {}): Promise<CommandInfo> {
    return commandInfo(await this.#connection.unary(CommandService.method.getCommand, this.#request(), options))
  }

  /**
   * What it prints, from a cursor on. A connection that is lost is made again, and the output goes on where it was;
   * what is not kept any more is told by `lostBytes`.
   */
  async *output(options: BackgroundOutputOptions = {}): AsyncGenerator<BackgroundOutput, void, undefined> {
    const { follow = true, killOnLeave = false, reconnectMs = RECONNECT_MS, signal } = options
    let cursor = checkedCursor(options.cursor ?? 0)
    const reconnect = new Reconnect(reconnectMs)
    let decoders = utf8Decoders()
    for (;;) {
      try {
        const request = { ...this.#request(), cursor: BigInt(cursor), follow, killOnCancel: killOnLeave && follow }
        const call = this.#connection.serverStream(CommandService.method.readCommandOutput, request, { signal })
        for await (const message of call) {
          reconnect.found()
          cursor = Number(message.cursor)
          const lostBytes = Number(message.lostBytes)
          // Half a character from before a gap has no other half.
          if (lostBytes > 0) decoders = utf8Decoders()
          if (message.ended !== undefined) return
          const type = streamOf(message)
          const text = decoders[type].decode(message.data, { stream: true })
          yield { type, data: message.data, text, cursor, lostBytes }
        }
        if (!follow) return
      } catch (error) {
        reconnect.check(error)
      }
      await reconnect.pause(signal)
    }
  }

  /** Resolves when it has ended. A code other than 0 is a result. */
  async wait(options: { readonly signal?: AbortSignal } = {}): Promise<CommandExit> {
    const withoutEnd = { ...options, deadlineMs: null }
    const ended = await this.#connection.unary(CommandService.method.waitCommand, this.#request(), withoutEnd)
    const { exit } = commandInfo(ended)
    if (exit === undefined) throw new InternalError(`The server did not say how command ${this.id} ended`)
    return exit
  }

  /**
   * To the command with all that came from it. Without a signal: SIGTERM, and SIGKILL for what is there still after
   * the server's grace. One that has ended already is no error.
   */
  async kill(signal?: NodeJS.Signals): Promise<void> {
    const number = signal === undefined ? 0 : constants.signals[signal]
    if (number === undefined) throw new InvalidArgumentError(`${String(signal)} is no signal`, 'signal')
    try {
      await this.#connection.unary(CommandService.method.signalCommand, { ...this.#request(), signal: number })
    } catch (error) {
      if (!(error instanceof FailedPreconditionError)) throw error
    }
  }

  #request() {
    return { sandboxId: this.sandboxId, commandId: this.id }
  }
}

export function commandInfo(wire: WireCommand): CommandInfo {
  const { id, sandboxId, command, exit, timedOut, sandboxEnded, outputExceeded } = wire
  const endedAt = dateFrom(wire.endedAt)
  return {
    id,
    sandboxId,
    command,
    startedAt: dateFrom(wire.startedAt),
    ...(endedAt === undefined ? {} : { endedAt }),
    ...(exit === undefined ? {} : { exit: { ...exitFromWire(exit), timedOut, sandboxEnded, outputExceeded } }),
    outputStart: Number(wire.outputStart),
    outputEnd: Number(wire.outputEnd),
  }
}

function exitFromWire(wire: Parameters<typeof endFromWire>[0]) {
  const { exitCode, signal, durationMs, oomKilled = false, usage } = endFromWire(wire)
  return {
    exitCode,
    ...(signal === '' ? {} : { signal }),
    durationMs,
    oomKilled,
    ...(usage === undefined ? {} : { usage }),
  }
}

function checkedCursor(cursor: number): number {
  if (Number.isSafeInteger(cursor) && cursor >= 0) return cursor
  throw new InvalidArgumentError('cursor must be a whole number of at least 0', 'cursor')
}

function utf8Decoders() {
  const decoder = () => new TextDecoder('utf-8', { ignoreBOM: true })
  return { stdout: decoder(), stderr: decoder() }
}
