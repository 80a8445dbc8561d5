import { once } from 'node:events'
import type { Pty, PtyExit } from '../pty.ts'

export interface TerminalSize {
  readonly rows: number
  readonly columns: number
}

export function terminalSize(): TerminalSize {
  return { rows: process.stdout.rows ?? 24, columns: process.stdout.columns ?? 80 }
}

/** Joins this process's terminal to one inside: keys go there raw, also Ctrl-C, and changes of its size too. */
export async function attach(pty: Pty): Promise<PtyExit> {
  const { stdin, stdout } = process
  const wasRaw = stdin.isTTY ? stdin.isRaw : false
  const onKeys = (keys: Buffer) => pty.write(keys)
  const onResize = () => pty.resize(terminalSize())
  if (stdin.isTTY) stdin.setRawMode(true)
  stdin.on('data', onKeys)
  stdout.on('resize', onResize)
  try {
    for await (const piece of pty) await writeOut(piece)
    return await pty.exited
  } finally {
    stdin.off('data', onKeys)
    stdout.off('resize', onResize)
    if (stdin.isTTY) stdin.setRawMode(wasRaw)
    stdin.pause()
  }
}

/** Resolves when there is room for more: a command must not print faster than the reader reads. */
export async function writeOut(data: Uint8Array): Promise<void> {
  await writeTo(process.stdout, data)
}

export async function writeErr(data: Uint8Array): Promise<void> {
  await writeTo(process.stderr, data)
}

async function writeTo(stream: NodeJS.WriteStream, data: Uint8Array): Promise<void> {
  if (!stream.write(data)) await once(stream, 'drain')
}

/** What is piped into this process; `undefined` at a terminal, where somebody would have to type it. */
export function pipedStdin(): AsyncIterable<Uint8Array> | undefined {
  return process.stdin.isTTY === true ? undefined : process.stdin
}
