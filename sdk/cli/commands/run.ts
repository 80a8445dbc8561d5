import type { Command } from 'commander'
import type { CommandResult } from '../../command-output.ts'
import type { RunOptions, Command as SandboxCommand } from '../../commands.ts'
import { InvalidArgumentError } from '../../errors.ts'
import { Sandbox } from '../../sandbox.ts'
import { EXIT_HELP } from '../exit-codes.ts'
import { type ExecFlags, runOptions, type SpecFlags, sandboxOptions, withExecFlags, withSpecFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { makingBar } from '../progress.ts'
import { printJson } from '../report.ts'
import { attach, pipedStdin, terminalEnvironment, terminalSize, writeErr, writeOut } from '../terminal.ts'

interface RunFlags extends SpecFlags, ExecFlags {
  readonly keep?: boolean
  readonly tty?: boolean
}

export function addRun(program: Command): void {
  const command = program
    .command('run')
    .summary('run a command on a copy of a folder, then throw the copy away')
    .description('Uploads DIR, runs the command in a new sandbox that sees it, and destroys the sandbox.')
    .argument('<dir>', 'the folder; it is never written to')
    .argument('[command...]', 'after --: a program and its arguments')
    .option('-t, --tty', 'give the command a terminal')
    .option('--keep', 'leave the sandbox, and print its id on stderr')
    .addHelpText(
      'after',
      `
Examples:
  croft run . -- npm test
  croft run . --rule '/build/**=write' --include node_modules -- npx tsc
  croft run . -c 'grep -r TODO . | wc -l'
  croft run . --timeout 5m --memory 2g --keep -- make
${EXIT_HELP}`,
    )
  withExecFlags(withSpecFlags(command)).action(async (dir: string, words: string[], flags: RunFlags) => {
    process.exitCode = await interruptible((signal) => run(dir, words, flags, signal))
  })
}

/** The words after `--`, or the line of `-c`. Throws where there is neither, or both. */
export function commandOf(words: readonly string[], flags: ExecFlags): SandboxCommand {
  if (flags.command !== undefined && words.length > 0) {
    throw new InvalidArgumentError('There are a command after -- and one with -c', 'command', {
      remedy: 'Give one of them',
    })
  }
  const command = flags.command ?? words
  if (command.length === 0) {
    throw new InvalidArgumentError('There is no command', 'command', { remedy: 'Add it after --, or with -c' })
  }
  return command
}

/** Runs it with this process's stdin and output, or collects the output with `json`. */
export async function passThrough(
  sandbox: Sandbox,
  command: SandboxCommand,
  flags: ExecFlags & { readonly json?: boolean },
  streams: { readonly stdin: RunOptions['stdin'] | undefined; readonly signal: AbortSignal },
): Promise<CommandResult> {
  const result = await sandbox.run(command, {
    ...runOptions(flags),
    signal: streams.signal,
    ...(streams.stdin === undefined ? {} : { stdin: streams.stdin }),
    ...(flags.json === true
      ? {}
      : {
          // Nothing of it is needed again.
          maxOutputBytes: 0,
          onStdout: (_text, data) => writeOut(data),
          onStderr: (_text, data) => writeErr(data),
        }),
  })
  if (result.oomKilled && flags.json !== true) {
    process.stderr.write('croft: the sandbox ran out of memory; give it more with --memory when it is created\n')
  }
  return result
}

export function resultForJson(result: CommandResult): Record<string, unknown> {
  const { stdoutBytes: _stdout, stderrBytes: _stderr, ...rest } = result
  return rest
}

async function run(dir: string, words: readonly string[], flags: RunFlags, signal: AbortSignal): Promise<number> {
  const command = commandOf(words, flags)
  const bar = makingBar(flags.json === true)
  const sandbox = await Sandbox.fromLocal(dir, {
    ...sandboxOptions(flags),
    signal,
    onProgress: bar.onProgress,
    onImage: bar.onImage,
    onSkip: (path, kind) => process.stderr.write(`croft: left out ${path}: it is a ${kind}\n`),
  }).finally(bar.stop)
  try {
    if (flags.tty === true) {
      const env = terminalEnvironment(flags.env)
      const pty = sandbox.pty({ command, ...runOptions(flags), env, ...terminalSize(), signal })
      return (await attach(pty)).exitCode
    }
    const result = await passThrough(sandbox, command, flags, { stdin: pipedStdin(), signal })
    if (flags.json === true) {
      printJson({ sandboxId: sandbox.id, ...resultForJson(result), upload: sandbox.upload })
    }
    return result.exitCode
  } finally {
    if (flags.keep === true) {
      process.stderr.write(`croft: sandbox ${sandbox.id} is kept; remove it with: croft rm ${sandbox.id}\n`)
      sandbox.close()
    } else {
      await sandbox.kill()
    }
  }
}
