import type { Command } from 'commander'
import { Server } from '../../server.ts'
import { type ServerFlags, withServerFlags } from '../flags.ts'
import { printJson, safeText } from '../report.ts'

export function addPresets(program: Command): void {
  const command = program
    .command('presets')
    .summary('list the presets of rules')
    .description('The presets that the server knows, with their rules. A later rule wins among equals.')
  withServerFlags(command).action(async (flags: ServerFlags) => {
    await using server = await Server.connect(flags.server ?? {})
    const presets = await server.presets()
    if (flags.json === true) {
      printJson({ presets })
      return
    }
    for (const preset of presets) {
      process.stdout.write(`${safeText(preset.name)}: ${safeText(preset.description)}\n`)
      for (const rule of preset.rules) process.stdout.write(`  ${rule.level.padEnd(5)}  ${safeText(rule.pattern)}\n`)
    }
  })
}
