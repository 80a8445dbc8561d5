import type { Command } from 'commander'
import { spawnBuilt, superviseChild } from '../child.ts'

export function addAudit(program: Command): void {
  const audit = program
    .command('audit')
    .summary("check a server's audit log")
    .description('A server with `audit.file` in its settings writes there who did what, in a chain of hashes.')
  audit
    .command('verify')
    .summary('say whether it is as it was written')
    .description('Says whether no line of an audit log was changed, taken out or put in.')
    .argument('[options...]', 'the file, or the options of the server')
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (options: string[]) => {
      process.exitCode = await superviseChild(spawnBuilt('server/main.js', ['audit', 'verify', ...options], 'inherit'))
    })
    .exitOverride()
}
