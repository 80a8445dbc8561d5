import type { Command } from 'commander'
import { InvalidArgumentError } from '../../errors.ts'
import { Sandbox } from '../../sandbox.ts'
import { parseDuration } from '../arguments.ts'
import { type SpecFlags, sandboxOptions, withSpecFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { makingBar } from '../progress.ts'
import { printJson } from '../report.ts'

interface CreateFlags extends SpecFlags {
  readonly codebase?: string
  readonly snapshot?: string
  readonly expires?: number
  readonly start: boolean
}

export function addCreate(program: Command): void {
  const command = program
    .command('create')
    .summary('make a sandbox that stays, and print its id')
    .description(
      'Makes a sandbox from a folder, or from a codebase or snapshot that the server has, and prints its id.',
    )
    .argument('[dir]', 'a folder to upload; it is never written to')
    .option('--codebase <id>', 'a codebase of the server, instead of a folder')
    .option('--snapshot <id>', 'a snapshot, instead of a folder')
    .option('--expires <time>', 'let the server destroy it after 30m, 2h, 7d', parseDuration)
    .option('--no-start', 'make it without starting it')
    .addHelpText(
      'after',
      `
Examples:
  croft create . --preset development
  SB=$(croft create . --rule '/build/**=write'); croft exec $SB -- make; croft rm $SB`,
    )
  withSpecFlags(command).action(async (dir: string | undefined, flags: CreateFlags) => {
    const sandbox = await interruptible((signal) => create(dir, flags, signal))
    if (flags.json === true) printJson({ ...(await sandbox.info()), upload: sandbox.upload })
    else process.stdout.write(`${sandbox.id}\n`)
    sandbox.close()
  })
}

async function create(dir: string | undefined, flags: CreateFlags, signal: AbortSignal): Promise<Sandbox> {
  const options = {
    ...sandboxOptions(flags),
    start: flags.start,
    signal,
    ...(flags.expires === undefined ? {} : { timeoutMs: flags.expires }),
  }
  if ([dir, flags.codebase, flags.snapshot].filter((source) => source !== undefined).length !== 1) {
    throw new InvalidArgumentError('Give one of a folder, --codebase and --snapshot', 'dir')
  }
  const { stop, ...bar } = makingBar(flags.json === true)
  const made =
    flags.snapshot !== undefined
      ? Sandbox.create({ ...options, onImage: bar.onImage, snapshot: flags.snapshot })
      : flags.codebase !== undefined
        ? Sandbox.create({ ...options, onImage: bar.onImage, codebase: flags.codebase })
        : Sandbox.fromLocal(dir ?? '.', { ...options, ...bar })
  return await made.finally(stop)
}
