import type { Command } from 'commander'
import type { Command as SandboxCommand } from '../../commands.ts'
import { InvalidArgumentError } from '../../errors.ts'
import { LOGIN_SHELL } from '../../pty.ts'
import { Sandbox } from '../../sandbox.ts'
import { EXIT_HELP } from '../exit-codes.ts'
import { type ExecFlags, runOptions, type ServerFlags, serverOption, withExecFlags, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { printJson } from '../report.ts'
import { attach, terminalEnvironment, terminalSize } from '../terminal.ts'
import { sandboxPath } from './ls.ts'
import { commandOf, passThrough, resultForJson } from './run.ts'

interface ExecCommandFlags extends ServerFlags, ExecFlags {
  readonly interactive?: boolean
  readonly tty?: boolean
  readonly background?: boolean
}

export function addExec(program: Command): void {
  const command = program
    .command('exec')
    .summary('run a command in a sandbox')
    .description('Runs a command in a running sandbox. Ctrl-C ends the command, not the sandbox.')
    .argument('<sandbox>', 'its id')
    .argument('[command...]', 'after --: a program and its arguments')
    .option('-i, --interactive', 'pass stdin through')
    .option('-t, --tty', 'give the command a terminal')
    .option('-b, --background', 'print its id and let it run; see `croft ps`, `logs`, `wait` and `kill`')
    .addHelpText(
      'after',
      `
Examples:
  croft exec sb_0123456789abcdef -- npm test
  croft exec sb_0123456789abcdef -i -- tar -x < more.tar
  croft exec sb_0123456789abcdef -c 'cd src && ls | wc -l'
  croft exec sb_0123456789abcdef --background -- npm start
${EXIT_HELP}`,
    )
  withExecFlags(withServerFlags(command)).action(async (id: string, words: string[], flags: ExecCommandFlags) => {
    process.exitCode = await interruptible((signal) => exec(id, words, flags, signal))
  })
}

export function addShell(program: Command): void {
  const command = program
    .command('shell')
    .summary('open a terminal in a sandbox')
    .description('A login shell in a running sandbox, with a terminal. What is piped in is run without one.')
    .argument('<sandbox>', 'its id')
    .addHelpText(
      'after',
      `\nExamples:\n  croft shell sb_0123456789abcdef\n  croft shell sb_0123456789abcdef < script.sh\n${EXIT_HELP}`,
    )
  withServerFlags(command).action(async (id: string, flags: ServerFlags) => {
    await using sandbox = await Sandbox.connect(sandboxPath(id).sandboxId, serverOption(flags))
    if (process.stdin.isTTY) {
      const pty = sandbox.pty({ env: terminalEnvironment(), ...terminalSize() })
      process.exitCode = (await attach(pty)).exitCode
      return
    }
    process.exitCode = await interruptible(async (signal) => {
      const streams = { stdin: process.stdin, signal }
      return (await passThrough(sandbox, LOGIN_SHELL, {}, streams)).exitCode
    })
  })
}

async function startInBackground(
  sandbox: Sandbox,
  command: SandboxCommand,
  flags: ExecCommandFlags,
  signal: AbortSignal,
): Promise<number> {
  if (flags.tty === true) throw notWithBackground('--tty')
  if (flags.interactive === true) throw notWithBackground('--interactive')
  const started = await sandbox.commands.start(command, { ...runOptions(flags), signal })
  if (flags.json === true) printJson({ sandboxId: sandbox.id, commandId: started.id })
  else process.stdout.write(`${started.id}\n`)
  return 0
}

function notWithBackground(option: string): InvalidArgumentError {
  return new InvalidArgumentError(`${option} is not for a command in the background`, option.slice(2), {
    remedy: 'Leave it out, or leave --background out',
  })
}

async function exec(
  id: string,
  words: readonly string[],
  flags: ExecCommandFlags,
  signal: AbortSignal,
): Promise<number> {
  const command = commandOf(words, flags)
  await using sandbox = await Sandbox.connect(id, { ...serverOption(flags), signal })
  if (flags.background === true) return await startInBackground(sandbox, command, flags, signal)
  if (flags.tty === true) {
    const options = { ...runOptions(flags), env: terminalEnvironment(flags.env), ...terminalSize(), signal }
    return (await attach(sandbox.pty({ command, ...options }))).exitCode
  }
  const stdin = flags.interactive === true ? process.stdin : undefined
  const result = await passThrough(sandbox, command, flags, { stdin, signal })
  if (flags.json === true) printJson({ sandboxId: id, ...resultForJson(result) })
  return result.exitCode
}
