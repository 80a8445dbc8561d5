import { constants } from 'node:os'
import { InvalidArgumentError as BadArgument, type Command } from 'commander'
import type { CommandExit, CommandInfo } from '../../background-command.ts'
import { Sandbox } from '../../sandbox.ts'
import { parseCursor } from '../arguments.ts'
import { EXIT_HELP, EXIT_TIMEOUT } from '../exit-codes.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { printJson, printTable } from '../report.ts'
import { writeErr, writeOut } from '../terminal.ts'
import { sandboxPath } from './ls.ts'

interface LogsFlags extends ServerFlags {
  readonly follow?: boolean
  readonly cursor?: number
}

interface KillFlags extends ServerFlags {
  readonly signal?: NodeJS.Signals
}

export function addPs(program: Command): void {
  const command = program
    .command('ps')
    .summary('list the background commands of a sandbox')
    .description('Commands started with `croft exec --background`: those that run, and those that ended lately.')
    .argument('<sandbox>', 'its id')
    .addHelpText('after', '\nExample:\n  croft ps sb_0123456789abcdef')
  withServerFlags(command).action(async (id: string, flags: ServerFlags) => {
    await using sandbox = await connect(id, flags)
    const commands = await sandbox.commands.list()
    if (flags.json === true) printJson({ sandboxId: sandbox.id, commands })
    else printTable(['ID', 'STATUS', 'STARTED', 'COMMAND'], commands.map(row))
  })
}

export function addLogs(program: Command): void {
  const command = program
    .command('logs')
    .summary('show the output of a background command')
    .description('What a background command printed: its stdout on stdout, its stderr on stderr.')
    .argument('<sandbox>', 'its id')
    .argument('<command>', 'its id, as `croft ps` lists it')
    .option('-f, --follow', 'go on until the command has ended')
    .option('--cursor <number>', 'go on after the output that had it (see --json)', parseCursor)
    .addHelpText(
      'after',
      `
The server keeps the newest output; how much is missing before it is told on stderr.
With --json each piece is one line: type, text, data in base64, cursor, lostBytes.

Examples:
  croft logs sb_0123456789abcdef cmd_0123456789abcdef
  croft logs -f sb_0123456789abcdef cmd_0123456789abcdef`,
    )
  withServerFlags(command).action(async (id: string, commandId: string, flags: LogsFlags) => {
    await interruptible((signal) => logs(id, commandId, flags, signal))
  })
}

export function addKill(program: Command): void {
  const command = program
    .command('kill')
    .summary('end a background command')
    .description('Sends a signal to a background command and to all that came from it.')
    .argument('<sandbox>', 'its id')
    .argument('<command>', 'its id')
    .option('-s, --signal <name>', 'such as INT or HUP (default: TERM, and KILL after a while)', parseSignal)
    .addHelpText('after', '\nExample:\n  croft kill sb_0123456789abcdef cmd_0123456789abcdef')
  withServerFlags(command).action(async (id: string, commandId: string, flags: KillFlags) => {
    await using sandbox = await connect(id, flags)
    await sandbox.commands.get(commandId).kill(flags.signal)
  })
}

export function addWait(program: Command): void {
  const command = program
    .command('wait')
    .summary('wait for a background command')
    .description(
      'Waits until a background command has ended, and ends with its exit code. Ctrl-C ends the waiting only.',
    )
    .argument('<sandbox>', 'its id')
    .argument('<command>', 'its id')
    .addHelpText('after', `\nExample:\n  croft wait sb_0123456789abcdef cmd_0123456789abcdef\n${EXIT_HELP}`)
  withServerFlags(command).action(async (id: string, commandId: string, flags: ServerFlags) => {
    process.exitCode = await interruptible(async (signal) => {
      await using sandbox = await connect(id, flags)
      const exit = await sandbox.commands.get(commandId).wait({ signal })
      if (flags.json === true) printJson({ sandboxId: sandbox.id, commandId, ...exit })
      return exit.timedOut ? EXIT_TIMEOUT : exit.exitCode
    })
  })
}

async function logs(id: string, commandId: string, flags: LogsFlags, signal: AbortSignal): Promise<void> {
  await using sandbox = await connect(id, flags)
  const output = sandbox.commands.get(commandId).output({
    follow: flags.follow === true,
    signal,
    ...(flags.cursor === undefined ? {} : { cursor: flags.cursor }),
  })
  for await (const { data, ...piece } of output) {
    if (flags.json === true) {
      printJson({ ...piece, data: Buffer.from(data).toString('base64') })
      continue
    }
    if (piece.lostBytes > 0) process.stderr.write(`croft: ${piece.lostBytes} bytes of output are no longer kept\n`)
    await (piece.type === 'stderr' ? writeErr(data) : writeOut(data))
  }
}

async function connect(id: string, flags: ServerFlags): Promise<Sandbox> {
  return await Sandbox.connect(sandboxPath(id).sandboxId, serverOption(flags))
}

function row({ id, exit, startedAt, command }: CommandInfo): string[] {
  return [id, exit === undefined ? 'running' : statusOf(exit), startedAt?.toISOString() ?? '-', oneLine(command)]
}

function statusOf({ exitCode, signal, timedOut, sandboxEnded, outputExceeded, oomKilled }: CommandExit): string {
  if (timedOut) return 'timed out'
  if (sandboxEnded) return 'sandbox ended'
  if (outputExceeded) return 'printed too much'
  if (oomKilled) return 'out of memory'
  return signal ?? `exited ${exitCode}`
}

function oneLine(command: string): string {
  return command.replaceAll('\n', ' ')
}

function parseSignal(text: string): NodeJS.Signals {
  const wanted = text.toUpperCase()
  for (const name of Object.keys(constants.signals) as NodeJS.Signals[]) {
    if (name === wanted || name === `SIG${wanted}` || String(constants.signals[name]) === text) return name
  }
  throw new BadArgument(`${JSON.stringify(text)} is no signal; write it as TERM, SIGTERM or 15`)
}
