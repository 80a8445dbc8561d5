import { SandboxService } from '../proto/index.ts'
import type { Connection } from './client/connection.ts'
import { durationFrom } from './durations.ts'
import { FailedPreconditionError, NotFoundError } from './errors.ts'
import { type RunningCommand, runningCommand, type WatchOptions } from './running-command.ts'

export interface SessionOptions {
  /** Path of the shell inside. Default: /bin/bash where there is one, else /bin/sh. */
  readonly shell?: string
  readonly env?: Readonly<Record<string, string>>
}

export interface SessionRunOptions extends WatchOptions {
  /** As for `sb.commands.run`. */
  readonly timeoutMs?: number
}

/**
 * A shell that stays: its directory, variables and functions are there for the next command. One command runs
 * at a time. Use with `await using`, or `close()` it.
 */
export class Session implements AsyncDisposable {
  readonly id: string
  readonly sandboxId: string
  readonly shell: string
  readonly #connection: Connection

  private constructor(connection: Connection, made: { id: string; sandboxId: string; shell: string }) {
    this.#connection = connection
    this.id = made.id
    this.sandboxId = made.sandboxId
    this.shell = made.shell
  }

  /** @internal See `sb.session()`. */
  static async create(connection: Connection, sandboxId: string, options: SessionOptions): Promise<Session> {
    const request = { sandboxId, shell: options.shell ?? '', env: { ...options.env } }
    return new Session(connection, await connection.unary(SandboxService.method.createSession, request))
  }

  /** A shell command in this session; otherwise as `sb.commands.run`. */
  run(command: string, options: SessionRunOptions = {}): RunningCommand {
    const open = (signal: AbortSignal) => {
      const timeout = options.timeoutMs === undefined ? {} : { timeout: durationFrom(options.timeoutMs, 'timeoutMs') }
      const request = { sessionId: this.id, command, reportExit: true, ...timeout }
      return this.#connection.serverStream(SandboxService.method.sessionExecStream, request, { signal })
    }
    return runningCommand(command, open, options)
  }

  /** Ends the shell and what it started. One that is gone already is no error. */
  async close(): Promise<void> {
    try {
      await this.#connection.unary(SandboxService.method.destroySession, { sessionId: this.id })
    } catch (error) {
      // The second one says that the session is closed; there is nothing else that this call could need.
      if (!(error instanceof NotFoundError || error instanceof FailedPreconditionError)) throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
