import { constants } from 'node:os'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { type ExecExit, type ExecInputSchema, type ExecOutput, SandboxService } from '../proto/index.ts'
import type { Connection } from './client/connection.ts'
import { type Command, execRequest, type RunOptions } from './commands.ts'
import { AbortedError, InternalError, InvalidArgumentError } from './errors.ts'

export interface PtyOptions extends Pick<RunOptions, 'env' | 'cwd' | 'user' | 'timeoutMs' | 'signal'> {
  /** Default: a login shell, bash where there is one. */
  readonly command?: Command
  /** Default 24. */
  readonly rows?: number
  /** Default 80. */
  readonly columns?: number
}

export interface PtyExit {
  readonly exitCode: number
  readonly signal?: string
}

/** @internal What `command` is where none is given. */
export const LOGIN_SHELL = 'if [ -x /bin/bash ]; then exec /bin/bash -l; else exec /bin/sh -l; fi'

/**
 * A command with a terminal of its own. Iterate over it for what it prints (once); output that is not taken
 * makes the command wait. Use with `await using`, which ends the command.
 */
export class Pty implements AsyncDisposable, AsyncIterable<Uint8Array> {
  /**
   * Resolves when the output has been taken to its end. Rejects as a command does; `AbortedError` after
   * `close`.
   */
  readonly exited: Promise<PtyExit>
  readonly #input: InputQueue
  readonly #closed: AbortController
  readonly #output: AsyncGenerator<Uint8Array, void, undefined>

  /** @internal See `sb.pty()`. */
  constructor(connection: Connection, sandboxId: string, options: PtyOptions) {
    const { rows = 24, columns = 80 } = options
    const request = execRequest(sandboxId, options.command ?? LOGIN_SHELL, options)
    const terminal = { rows: dimension(rows, 'rows'), columns: dimension(columns, 'columns') }
    this.#input = new InputQueue({ input: { case: 'start', value: { request, terminal } } })
    this.#closed = new AbortController()
    const signal =
      options.signal === undefined ? this.#closed.signal : AbortSignal.any([options.signal, this.#closed.signal])

    const call = connection.bidi(SandboxService.method.execInteractive, this.#input, { signal })
    let resolve: (exit: PtyExit) => void
    let reject: (reason: unknown) => void
    this.exited = new Promise((onExit, onFailure) => {
      resolve = onExit
      reject = onFailure
    })
    // Who only iterates learns of a failure there.
    this.exited.catch(() => undefined)
    const pieces = output(
      call,
      (exit) => resolve(exit),
      (reason) => reject(reason),
    )
    // The call begins with the first piece that is asked for, and the command is to begin now.
    this.#output = startingWith(pieces.next(), pieces)
  }

  /** Key strokes. */
  write(data: string | Uint8Array): void {
    this.#input.push({ input: { case: 'stdin', value: typeof data === 'string' ? Buffer.from(data) : data } })
  }

  /**
   * No more keys: Ctrl-D is typed, which is the end of the input for a program that reads lines. One that reads keys,
   * as a shell at its prompt does, may take it otherwise.
   */
  end(): void {
    this.#input.push({ input: { case: 'stdinEnd', value: {} } })
  }

  resize(size: { readonly rows: number; readonly columns: number }): void {
    const value = { rows: dimension(size.rows, 'rows'), columns: dimension(size.columns, 'columns') }
    this.#input.push({ input: { case: 'resize', value } })
  }

  /** To the foreground process group. Default SIGTERM. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    this.#input.push({ input: { case: 'signal', value: constants.signals[signal] } })
  }

  /** Ends the command, whatever it does. */
  async close(): Promise<void> {
    this.#closed.abort(new AbortedError('The terminal was closed'))
    await this.#output.return()
    await this.exited.then(
      () => undefined,
      () => undefined,
    )
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#output
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

async function* output(
  call: AsyncIterable<ExecOutput>,
  onExit: (exit: PtyExit) => void,
  onFailure: (reason: unknown) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  let exit: ExecExit | undefined
  try {
    for await (const message of call) {
      if (message.exit !== undefined) exit = message.exit
      else yield message.data
    }
    if (exit === undefined) throw new InternalError('The server did not say how the command ended')
    onExit({ exitCode: exit.exitCode, ...(exit.signal === '' ? {} : { signal: exit.signal }) })
  } catch (error) {
    onFailure(error)
    throw error
  } finally {
    // After either of the others this changes nothing.
    onFailure(new AbortedError('The terminal was closed'))
  }
}

async function* startingWith<T>(
  first: Promise<IteratorResult<T, void>>,
  rest: AsyncGenerator<T, void, undefined>,
): AsyncGenerator<T, void, undefined> {
  try {
    const result = await first
    if (result.done === true) return
    yield result.value
    yield* rest
  } finally {
    await rest.return()
  }
}

type Input = MessageInitShape<typeof ExecInputSchema>

class InputQueue implements AsyncIterable<Input> {
  readonly #waiting: Input[]
  #wake: () => void = () => undefined

  constructor(first: Input) {
    this.#waiting = [first]
  }

  push(input: Input): void {
    this.#waiting.push(input)
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Input, void, undefined> {
    for (;;) {
      const input = this.#waiting.shift()
      if (input !== undefined) {
        yield input
        continue
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}

const MAX_DIMENSION = 65_535

function dimension(value: number, option: string): number {
  if (Number.isInteger(value) && value >= 1 && value <= MAX_DIMENSION) return value
  throw new InvalidArgumentError(`${option} must be a whole number from 1 to ${MAX_DIMENSION}`, option)
}
