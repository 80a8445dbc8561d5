import type { Command } from 'commander'
import { Server } from '../../server.ts'
import { type ServerFlags, withServerFlags } from '../flags.ts'
import { printJson, printTable } from '../report.ts'

export function addDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .summary('show what the server can do here, and what is missing')
    .description(
      'Reaches the server, starting your own where none runs, and lists how it mounts views, the runtimes it can use, and what is not possible here and why.',
    )
  withServerFlags(command).action(async (flags: ServerFlags) => {
    await using server = await Server.connect(flags.server ?? {})
    const info = await server.info()
    if (flags.json === true) {
      printJson({ address: server.address, ...info })
      return
    }
    process.stdout.write(`croft ${info.version} at ${server.address}, process ${info.pid}\n\n`)
    const { device, available, reason, capabilities } = info.filesystem
    printTable(
      ['VIEWS', 'AVAILABLE', 'WHY', 'ABOUT'],
      [[device, available ? 'yes' : 'no', reason, capabilities.join(', ')]],
    )
    process.stdout.write('\n')
    printTable(
      ['RUNTIME', 'AVAILABLE', 'VERSION', 'ABOUT'],
      info.runtimes.map((each) => [
        each.name,
        each.available ? 'yes' : 'no',
        each.version === '' ? '-' : each.version,
        each.available ? each.capabilities.join(', ') : each.reason,
      ]),
    )
    const mended = info.runtimes.filter(({ remedy }) => remedy !== '')
    if (mended.length > 0) process.stdout.write('\nWHAT MENDS IT\n')
    for (const { name, remedy } of mended) process.stdout.write(`${name}:  ${remedy}\n`)
    if (info.restrictions.length > 0) process.stdout.write('\nNOT POSSIBLE HERE\n')
    for (const line of info.restrictions) process.stdout.write(`- ${line}\n`)
  })
}
