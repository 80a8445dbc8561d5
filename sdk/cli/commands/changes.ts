import type { Command } from 'commander'
import type { Change } from '../../changes.ts'
import { Sandbox } from '../../sandbox.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { printJson, safeText } from '../report.ts'

export function addChanges(program: Command): void {
  const command = program
    .command('changes')
    .summary('show what a sandbox changed')
    .description('Every difference between what the sandbox sees and the codebase it began with.')
    .argument('<sandbox>', 'its id')
    .addHelpText(
      'after',
      '\nA created, M modified, D deleted, R renamed, P permission bits\n\nExample:\n  croft changes sb_0123456789abcdef',
    )
  withServerFlags(command).action(async (id: string, flags: ServerFlags) => {
    await using sandbox = await Sandbox.connect(id, serverOption(flags))
    const changes = await sandbox.changes()
    if (flags.json === true) {
      printJson({ sandboxId: id, changes: changes.map(({ rawPath: _path, rawFrom: _from, ...change }) => change) })
      return
    }
    for (const change of changes) process.stdout.write(`${changeLine(change)}\n`)
  })
}

const LETTERS: Record<Change['kind'], string> = { created: 'A', modified: 'M', deleted: 'D', renamed: 'R', mode: 'P' }

function changeLine(change: Change): string {
  const from = change.from === undefined ? '' : `${safeText(change.from)} -> `
  return `${LETTERS[change.kind]}  ${from}${safeText(change.path)}${change.type === 'directory' ? '/' : ''}`
}
