import type { Command } from 'commander'
import { spawnBuilt, superviseChild } from '../child.ts'

export function addServe(program: Command): void {
  program
    .command('serve')
    .summary('run a server in the foreground')
    .description('Runs a server until Ctrl-C. Its own options are listed by `croft serve --help`.')
    .argument('[options...]', 'the options of the server')
    // The server parses its options itself, `--help` among them.
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (options: string[]) => {
      process.exitCode = await superviseChild(spawnBuilt('server/main.js', ['serve', ...options], 'inherit'))
    })
}
