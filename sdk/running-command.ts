import { type ExecExit, type ExecOutput, ExecOutput_OutputType } from '../proto/index.ts'
import { type CommandEnd, CommandOutput, type CommandResult, type OutputEvent } from './command-output.ts'
import { msFrom } from './durations.ts'
import { CommandFailedError, CommandTimeoutError, InternalError, TimeoutError } from './errors.ts'

/**
 * The result to come, and the output on its way: `await` it, iterate over it, or both. Leaving the loop early
 * ends the command. Output that nobody iterates over is kept up to `maxOutputBytes`.
 */
export type RunningCommand = Promise<CommandResult> & AsyncIterable<OutputEvent>

export interface WatchOptions {
  /** Called with each piece of output, in order; the command waits for a promise. */
  readonly onStdout?: OutputCallback
  readonly onStderr?: OutputCallback
  /** Reject with a `CommandFailedError` where the exit code is not 0. Default false. */
  readonly check?: boolean
  /** How much of stdout, and of stderr, is kept for the result, in bytes. Default 64 MiB. */
  readonly maxOutputBytes?: number
  /** Ends the command and rejects with an `AbortedError`. */
  readonly signal?: AbortSignal
}

export type OutputCallback = (text: string, data: Uint8Array) => void | Promise<void>

const DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024

/** As timeout(1) does. */
const TIMEOUT_EXIT_CODE = 124

/** `open` begins the call, which ends when its signal fires. */
export function runningCommand(
  command: string,
  open: (signal: AbortSignal) => AsyncIterable<ExecOutput>,
  options: WatchOptions,
): RunningCommand {
  const left = new AbortController()
  const signal = options.signal === undefined ? left.signal : AbortSignal.any([options.signal, left.signal])
  const output = new CommandOutput(options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES)

  const result = collect(command, () => open(signal), output, options).then(
    (outcome) => {
      output.end()
      return outcome
    },
    (error: unknown) => {
      output.end(error)
      throw error
    },
  )
  // Who only iterates learns of a failure there; it must not end the process as an unhandled rejection too.
  result.catch(() => undefined)
  return Object.assign(result, { [Symbol.asyncIterator]: () => output.read(() => left.abort()) })
}

async function collect(
  command: string,
  open: () => AsyncIterable<ExecOutput>,
  output: CommandOutput,
  options: WatchOptions,
): Promise<CommandResult> {
  const startedAt = performance.now()
  let exit: CommandEnd | undefined
  try {
    const messages = open()[Symbol.asyncIterator]()
    while (exit === undefined) {
      const next = await messages.next()
      if (next.done === true) break
      const { value: message } = next
      if (message.exit === undefined) await take(output.toEvent(streamOf(message), message.data), output, options)
      else exit = endFromWire(message.exit)
    }
    // It is the last: how the call itself ends is not waited for, which is one more turn of both processes.
    if (exit !== undefined) messages.next().catch(() => undefined)
    for (const event of output.remains()) await take(event, output, options)
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error
    const durationMs = performance.now() - startedAt
    const partial = output.outcome({ exitCode: TIMEOUT_EXIT_CODE, signal: '', durationMs })
    throw new CommandTimeoutError(command, partial, { cause: error })
  }
  if (exit === undefined) throw new InternalError(`The server did not say how \`${command}\` ended`)

  const result = output.outcome(exit)
  if (options.check === true && result.exitCode !== 0) throw new CommandFailedError(command, result)
  return result
}

async function take(event: OutputEvent, output: CommandOutput, options: WatchOptions): Promise<void> {
  const callback = event.type === 'stdout' ? options.onStdout : options.onStderr
  if (callback !== undefined) await callback(event.text, event.data)
  await output.push(event)
}

export function endFromWire({ exitCode, signal, duration, oomKilled, ...usage }: ExecExit): CommandEnd {
  const { cpuUser, cpuSystem, peakMemoryBytes } = usage
  return {
    exitCode,
    signal,
    durationMs: msFrom(duration),
    oomKilled,
    // A server that does not count says nothing of it.
    ...(cpuUser === undefined
      ? {}
      : {
          usage: {
            cpuUserMs: msFrom(cpuUser),
            cpuSystemMs: msFrom(cpuSystem),
            ...(peakMemoryBytes === 0n ? {} : { peakMemoryBytes: Number(peakMemoryBytes) }),
          },
        }),
  }
}

export function streamOf(message: { readonly type: ExecOutput_OutputType }): OutputEvent['type'] {
  return message.type === ExecOutput_OutputType.STDERR ? 'stderr' : 'stdout'
}
