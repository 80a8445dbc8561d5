import type { Command } from 'commander'
import { Sandbox } from '../../sandbox.ts'
import { parseCount, parseLabel } from '../arguments.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { printJson } from '../report.ts'

interface ForkFlags extends ServerFlags {
  readonly count?: number
  readonly label?: Readonly<Record<string, string>>
  readonly start: boolean
}

export function addFork(program: Command): void {
  const command = program
    .command('fork')
    .summary('make sandboxes that see what one sees now')
    .description(
      'Makes sandboxes that see what this one does now, with its rules and limits, and prints their ids. What happens ' +
        'in one is seen in no other.',
    )
    .argument('<sandbox>', 'its id')
    .option('-n, --count <number>', 'how many (default: 1)', parseCount)
    .option('--label <key=value>', 'beside those of the sandbox; repeatable', parseLabel)
    .option('--no-start', 'make them without starting them')
    .addHelpText(
      'after',
      `
Example:
  for SB in $(croft fork sb_0123456789abcdef -n 3); do croft exec $SB -- ./try-something & done`,
    )
  withServerFlags(command).action(async (id: string, flags: ForkFlags) => {
    await using sandbox = await Sandbox.connect(id, serverOption(flags))
    const labels = flags.label === undefined ? {} : { labels: flags.label }
    const forks = await sandbox.fork(flags.count ?? 1, { ...labels, start: flags.start })
    const ids = forks.map((fork) => fork.id)
    // They stay.
    for (const fork of forks) fork.close()
    if (flags.json === true) printJson({ sandboxId: id, forks: ids })
    else process.stdout.write(ids.map((each) => `${each}\n`).join(''))
  })
}
