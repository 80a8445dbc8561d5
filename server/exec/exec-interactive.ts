import type { MessageInitShape } from '@bufbuild/protobuf'
import type { ExecInput, ExecInput_Start, ExecInput_Terminal, ExecOutputSchema } from '../../proto/index.ts'
import type { AgentProcess } from '../../runtimes/contract/agent.ts'
import { roomIn } from '../concurrency/room-in.ts'
import type { Limits } from '../config/limits.ts'
import { invalid } from '../errors/croft-error.ts'
import { type Running, WORKSPACE } from '../sandboxes/running.ts'
import { parseCommand, type Terminal } from './command.ts'
import { execStream } from './exec-stream.ts'

/** The kernel keeps a terminal's size in 16 bits. */
const MAX_TERMINAL_SIZE = 65_535
const MAX_SIGNAL = 64

/**
 * A command whose stdin comes while it runs. Input is taken no faster than the command reads it, output is sent
 * no faster than the client does. A client that ends its side without `stdin_end` means the same by it.
 */
export async function* execInteractive(
  inputs: AsyncIterable<ExecInput>,
  find: (sandboxId: string) => Running,
  { limits, signal }: { limits: Limits; signal: AbortSignal },
): AsyncGenerator<MessageInitShape<typeof ExecOutputSchema>> {
  const stream = inputs[Symbol.asyncIterator]()
  const { request, terminal: size } = await startOf(stream)
  if (request === undefined) throw invalid('start.request', 'is missing')
  const running = find(request.sandboxId)
  const terminal = size === undefined ? undefined : terminalOf(size, 'start.terminal')
  const command = parseCommand(request, {
    limits,
    workspace: WORKSPACE,
    cwd: running.parts.cwd,
    liveInput: true,
    terminal,
  })

  let inputFailure: { readonly error: unknown } | undefined
  yield* execStream(running, command, {
    limits,
    signal,
    reportExit: request.reportExit,
    onStart: (process, kill) => {
      pump(stream, process).catch((error: unknown) => {
        // What the client sent last was no good, or the client is gone.
        inputFailure = { error }
        kill()
      })
    },
  })
  if (inputFailure !== undefined) throw inputFailure.error
}

type Stream = AsyncIterator<ExecInput>

async function startOf(stream: Stream): Promise<ExecInput_Start> {
  const first = await stream.next()
  if (first.done === true || first.value.input.case !== 'start') throw invalid('start', 'must be the first message')
  return first.value.input.value
}

async function pump(stream: Stream, process: AgentProcess): Promise<void> {
  const { stdin } = process
  // The command may close its stdin whenever it likes: what comes after that goes nowhere.
  stdin?.on('error', () => undefined)
  for (let next = await stream.next(); next.done !== true; next = await stream.next()) {
    const { input } = next.value
    switch (input.case) {
      case 'stdin': {
        const { buffer, byteOffset, length } = input.value
        if (stdin === null || stdin.destroyed || stdin.writableEnded) break
        if (!stdin.write(Buffer.from(buffer, byteOffset, length))) await roomIn(stdin)
        break
      }
      case 'stdinEnd':
        stdin?.end()
        break
      case 'resize': {
        const { rows, columns } = terminalOf(input.value, 'resize')
        process.resize(rows, columns)
        break
      }
      case 'signal':
        if (input.value < 1 || input.value > MAX_SIGNAL) throw invalid('signal', `must be 1 to ${MAX_SIGNAL}`)
        process.signal(input.value, 'group')
        break
      case 'start':
        throw invalid('start', 'must come once')
      case undefined:
        throw invalid('input', 'is empty')
    }
  }
  stdin?.end()
}

function terminalOf({ rows, columns }: ExecInput_Terminal, field: string): Terminal {
  for (const [name, value] of Object.entries({ rows, columns })) {
    if (value < 1 || value > MAX_TERMINAL_SIZE) throw invalid(`${field}.${name}`, `must be 1 to ${MAX_TERMINAL_SIZE}`)
  }
  return { rows, columns }
}
