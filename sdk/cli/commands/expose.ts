import type { Command } from 'commander'
import { Sandbox } from '../../sandbox.ts'
import { parsePort } from '../arguments.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { printJson } from '../report.ts'

interface ExposeFlags extends ServerFlags {
  readonly localPort?: number
  readonly localHost?: string
  readonly otherUsers?: boolean
}

export function addExpose(program: Command): void {
  const command = program
    .command('expose')
    .summary('reach a server that runs in a sandbox')
    .description(
      'Prints a URL on this machine that leads to a port of the sandbox, for HTTP, WebSocket or anything else over TCP, ' +
        'until Ctrl-C or until the sandbox ends. Only this user and root can connect.',
    )
    .argument('<sandbox>', 'its id')
    .argument('<port>', 'where the server listens, inside', parsePort)
    .option('--local-port <port>', 'of this machine (default: one that is free)', parsePort)
    .option('--local-host <address>', 'of this machine (default: 127.0.0.1); whoever reaches another one can connect')
    .option('--other-users', 'let other users of this machine connect')
    .addHelpText(
      'after',
      `
Examples:
  croft expose sb_0123456789abcdef 3000
  croft expose sb_0123456789abcdef 5432 --local-port 5432`,
    )
  withServerFlags(command).action(async (id: string, port: number, flags: ExposeFlags) => {
    await interruptible((signal) => expose(id, port, flags, signal))
  })
}

async function expose(id: string, port: number, flags: ExposeFlags, signal: AbortSignal): Promise<void> {
  await using sandbox = await Sandbox.connect(id, { ...serverOption(flags), signal })
  await using exposed = await sandbox.expose(port, {
    signal,
    ...(flags.localPort === undefined ? {} : { localPort: flags.localPort }),
    ...(flags.localHost === undefined ? {} : { localHost: flags.localHost }),
    ...(flags.otherUsers === undefined ? {} : { otherUsers: flags.otherUsers }),
  })
  if (flags.json === true) printJson({ sandboxId: id, url: exposed.url, host: exposed.host, port: exposed.port })
  else process.stdout.write(`${exposed.url}\n`)
  const reason = await exposed.closed
  if (reason !== undefined) throw reason
}
