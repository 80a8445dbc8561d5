import type { Command } from 'commander'
import type { Change } from '../../changes.ts'
import { Sandbox } from '../../sandbox.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { printJson, safeText } from '../report.ts'
import { type SideFlags, sideOptions, withSideFlags } from '../side-flags.ts'

interface ChangesFlags extends ServerFlags, SideFlags {
  readonly hidden: boolean
}

export function addChanges(program: Command): void {
  const command = program
    .command('changes')
    .summary('show what a sandbox changed')
    .description('Every difference between what the sandbox sees and the codebase it began with, or between two sides.')
    .argument('<sandbox>', 'its id')
    .option('--no-hidden', 'without what the rules hide')
    .addHelpText(
      'after',
      `
A created, M modified, D deleted, R renamed, P permission bits, T another type

Examples:
  croft changes sb_0123456789abcdef
  croft changes sb_0123456789abcdef --from snap_0123456789abcdef`,
    )
  withServerFlags(withSideFlags(command)).action(async (id: string, flags: ChangesFlags) => {
    await using sandbox = await Sandbox.connect(id, serverOption(flags))
    const changes = await sandbox.changes({ ...sideOptions(flags), as: flags.hidden ? 'owner' : 'sandbox' })
    if (flags.json === true) {
      printJson({ sandboxId: id, changes: changes.map(({ rawPath: _path, rawFrom: _from, ...change }) => change) })
      return
    }
    for (const change of changes) process.stdout.write(`${changeLine(change)}\n`)
  })
}

const LETTERS: Record<Change['kind'], string> = {
  created: 'A',
  modified: 'M',
  deleted: 'D',
  renamed: 'R',
  mode: 'P',
  type: 'T',
}

function changeLine(change: Change): string {
  const from = change.from === undefined ? '' : `${safeText(change.from)} -> `
  return `${LETTERS[change.kind]}  ${from}${safeText(change.path)}${change.type === 'directory' ? '/' : ''}`
}
