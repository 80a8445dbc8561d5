import type { Command } from 'commander'
import { NotFoundError } from '../../errors.ts'
import { Sandbox } from '../../sandbox.ts'
import { Server } from '../../server.ts'
import { type ServerFlags, withServerFlags } from '../flags.ts'
import { printJson } from '../report.ts'
import { sandboxPath } from './ls.ts'

interface RmFlags extends ServerFlags {
  readonly all?: boolean
  readonly force?: boolean
}

export function addRm(program: Command): void {
  const command = program
    .command('rm')
    .summary('destroy sandboxes')
    .description('Destroys sandboxes with all that they changed, running or not.')
    .argument('[sandbox...]', 'their ids')
    .option('-a, --all', 'all of them')
    .option('-f, --force', 'one that is not there is no error')
    .addHelpText('after', '\nExample:\n  croft rm sb_0123456789abcdef')
  withServerFlags(command).action(async (ids: string[], flags: RmFlags) => {
    for (const id of ids) sandboxPath(id)
    await using server = await Server.connect(flags.server ?? {})
    const targets = flags.all === true ? (await Sandbox.list({ server })).map(({ id }) => id) : ids
    if (targets.length === 0 && flags.all !== true) {
      throw new NotFoundError('There is no sandbox to destroy', { remedy: 'Give its id, or --all' })
    }
    const removed: string[] = []
    for (const id of targets) {
      if (await remove(id, server, flags.force === true)) removed.push(id)
    }
    if (flags.json === true) printJson({ removed })
    else for (const id of removed) process.stdout.write(`${id}\n`)
  })
}

async function remove(id: string, server: Server, force: boolean): Promise<boolean> {
  try {
    const sandbox = await Sandbox.connect(id, { server })
    await sandbox.kill()
    return true
  } catch (error) {
    if (force && error instanceof NotFoundError) return false
    throw error
  }
}
