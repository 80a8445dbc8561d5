import type { Command } from 'commander'
import { InvalidArgumentError } from '../../errors.ts'
import { Sandbox } from '../../sandbox.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { printJson, safeText } from '../report.ts'

interface ApplyFlags extends ServerFlags {
  readonly dryRun?: boolean
  readonly overwrite?: boolean
  readonly skip?: boolean
  readonly owner?: boolean
}

export function addApply(program: Command): void {
  const command = program
    .command('apply')
    .summary('make in a folder what a sandbox changed')
    .description(
      'Makes in a local folder what the sandbox changed since the upload. Where the folder has changed too, nothing is ' +
        'done unless you say what is to become of it. Links are never followed, and what the rules hide stays as it is.',
    )
    .argument('<sandbox>', 'its id')
    .argument('[dir]', 'the folder (default: this one)')
    .option('--dry-run', 'say what would be done, and do nothing')
    .option('--overwrite', 'where the folder has changed too, take what the sandbox has')
    .option('--skip', 'where the folder has changed too, leave it')
    .option('--owner', 'with what the rules hide')
    .addHelpText(
      'after',
      `
A created, M modified, D deleted, P permission bits, T another type; ! not done, for the folder has changed there

Examples:
  croft apply sb_0123456789abcdef . --dry-run
  croft apply sb_0123456789abcdef .`,
    )
  withServerFlags(command).action(async (id: string, dir: string | undefined, flags: ApplyFlags) => {
    if (flags.overwrite === true && flags.skip === true) {
      throw new InvalidArgumentError('--overwrite and --skip exclude one another', 'overwrite')
    }
    const onConflict = flags.overwrite === true ? 'overwrite' : flags.skip === true ? 'skip' : 'refuse'
    const result = await interruptible(async (signal) => {
      await using sandbox = await Sandbox.connect(id, { ...serverOption(flags), signal })
      const as = flags.owner === true ? 'owner' : 'sandbox'
      return await sandbox.apply(dir ?? '.', { dryRun: flags.dryRun === true, onConflict, as, signal })
    })
    if (flags.json === true) return printJson({ sandboxId: id, ...result })
    const lines = [
      ...result.applied.map(({ kind, path }) => `${LETTERS[kind]}  ${safeText(path)}`),
      ...result.conflicts.map(({ path, reason }) => `!  ${safeText(path)}  (${reason})`),
      ...result.kept.map((path) => `!  ${safeText(path)}/  (not-empty)`),
    ]
    process.stdout.write(lines.map((line) => `${line}\n`).join(''))
  })
}

const LETTERS = { created: 'A', modified: 'M', deleted: 'D', mode: 'P', type: 'T' } as const
