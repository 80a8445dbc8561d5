import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import type { Pty, PtyExit } from '../pty.ts'

export interface TerminalSize {
  readonly rows: number
  readonly columns: number
}

/** A terminal that does not know its size says 0. */
export function terminalSize(): TerminalSize {
  return { rows: process.stdout.rows || 24, columns: process.stdout.columns || 80 }
}

/** What programs inside are told of this terminal, unless it is given otherwise. */
export function terminalEnvironment(env: Readonly<Record<string, string>> = {}): Record<string, string> {
  const term = process.stdout.isTTY ? process.env['TERM'] : undefined
  return { ...(term === undefined || term === '' ? {} : { TERM: term }), ...env }
}

/**
 * Joins this process's terminal to one inside: keys go there raw, also Ctrl-C, and changes of its size too. Whatever
 * ends it, this terminal is as it was before: by the command's end, a lost connection, or a signal to this process.
 */
export async function attach(pty: Pty): Promise<PtyExit> {
  const { stdin, stdout } = process
  const restore = rawMode()
  const onKeys = (keys: Buffer) => pty.write(keys)
  const onEnd = () => pty.end()
  const onResize = () => pty.resize(terminalSize())
  let endedBy: NodeJS.Signals | undefined
  const onSignal = (signal: NodeJS.Signals) => {
    endedBy = signal
    void pty.close()
  }
  const onLost = () => void pty.close()
  // Of a terminal that has hung up.
  stdin.on('error', onLost)
  stdin.on('data', onKeys)
  stdin.on('end', onEnd)
  stdout.on('resize', onResize)
  for (const signal of ENDING_SIGNALS) process.on(signal, onSignal)
  let whole = false
  try {
    for await (const piece of pty) await writeOut(piece)
    const exit = await pty.exited
    whole = true
    return exit
  } catch (error) {
    if (endedBy === undefined) throw error
    return { exitCode: 128 + constants.signals[endedBy], signal: endedBy }
  } finally {
    for (const signal of ENDING_SIGNALS) process.off(signal, onSignal)
    stdin.off('data', onKeys)
    stdin.off('end', onEnd)
    stdout.off('resize', onResize)
    restore()
    stdin.off('error', onLost)
    stdin.pause()
    // Who was cut off had no time to take back what it had asked of the terminal.
    if (!whole && stdout.isTTY) await writeOut(Buffer.from(LEAVE_FULL_SCREEN)).catch(() => undefined)
  }
}

/** SIGINT comes as a key while the terminal is raw; from elsewhere it means the same as SIGTERM. */
const ENDING_SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGINT'] as const

/** The main screen, no mouse, no bracketed paste, the cursor shown, plain characters. */
const LEAVE_FULL_SCREEN = '\u001b[?1049l\u001b[?1000;1002;1003;1006l\u001b[?2004l\u001b[?25h\u001b[0m'

/**
 * Node's raw mode still makes CR LF of each LF that is printed. The terminal inside has done that already where it is
 * wanted; where it is not, LF is how a full-screen program moves the cursor down within its column.
 */
function setRaw(): void {
  process.stdin.setRawMode(true)
  // Undone by `setRawMode(false)`, which sets all back that was found at first.
  spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] })
}

/** Returns what sets the terminal back; a process that ends in another way does that too. */
function rawMode(): () => void {
  const { stdin } = process
  if (!stdin.isTTY) return () => undefined
  const wasRaw = stdin.isRaw
  const restore = () => {
    stdin.setRawMode(wasRaw)
  }
  // Whoever stopped this process had the terminal meanwhile.
  const again = () => {
    stdin.setRawMode(false)
    setRaw()
  }
  setRaw()
  process.on('exit', restore)
  process.on('SIGCONT', again)
  return () => {
    process.off('exit', restore)
    process.off('SIGCONT', again)
    restore()
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
