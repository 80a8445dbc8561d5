import type { Command } from 'commander'
import { spawnBuilt, superviseChild } from '../child.ts'

export function addConfig(program: Command): void {
  const config = program
    .command('config')
    .summary("check or print a server's settings")
    .description('Reads the settings of a server as `croft serve` would, without starting one.')
  const below = [
    ['check', 'say what is wrong with them', 'Says whether a server would take the settings.'],
    ['print', 'print those in force', 'Writes all settings in force, as a file of them.'],
  ] as const
  for (const [name, summary, description] of below) {
    const command = config
      .command(name)
      .summary(summary)
      .description(`${description} The options are those of \`croft serve --help\`.`)
      .argument('[options...]', 'the options of the server')
      .helpOption(false)
      .allowUnknownOption()
      .passThroughOptions()
      .action(async (options: string[]) => {
        process.exitCode = await superviseChild(spawnBuilt('server/main.js', ['config', name, ...options], 'inherit'))
      })
    command.exitOverride()
  }
}
