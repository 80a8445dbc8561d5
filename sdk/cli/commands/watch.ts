import type { Command } from 'commander'
import { Sandbox } from '../../sandbox.ts'
import type { FileEvent } from '../../watch-files.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { printJson, safeText } from '../report.ts'

interface WatchFlags extends ServerFlags {
  readonly owner?: boolean
  readonly cursor?: string
}

export function addWatch(program: Command): void {
  const command = program
    .command('watch')
    .summary('show what becomes of the files of a sandbox')
    .description('A line for each file that is created, modified, deleted, renamed or given other attributes.')
    .argument('<sandbox>', 'its id')
    .argument('[path]', 'only what is at or below it')
    .option('--owner', 'see what the rules hide, too')
    .option('--cursor <cursor>', 'go on after the event that had it (see --json)')
    .addHelpText(
      'after',
      `
A created, M modified, D deleted, R renamed, P permission bits or other attributes;
-- begin, expired, renewed or rules: look at everything anew

With --json each line is one object.

Examples:
  croft watch sb_0123456789abcdef
  croft watch sb_0123456789abcdef src --json`,
    )
  withServerFlags(command).action(async (id: string, path: string | undefined, flags: WatchFlags) => {
    await interruptible((signal) => watch(id, path ?? '', flags, signal))
  })
}

async function watch(id: string, path: string, flags: WatchFlags, signal: AbortSignal): Promise<void> {
  await using sandbox = await Sandbox.connect(id, { ...serverOption(flags), signal })
  const events = sandbox.files.watch(path, {
    as: flags.owner === true ? 'owner' : 'sandbox',
    signal,
    ...(flags.cursor === undefined ? {} : { cursor: flags.cursor }),
  })
  for await (const event of events) {
    if (flags.json === true) printJson(withoutRaw(event))
    else process.stdout.write(`${eventLine(event)}\n`)
  }
}

function withoutRaw(event: FileEvent): object {
  if (event.kind === 'reset') return event
  const { rawPath: _path, rawFrom: _from, ...rest } = event
  return rest
}

const LETTERS = { created: 'A', modified: 'M', deleted: 'D', renamed: 'R', attributes: 'P' } as const

function eventLine(event: FileEvent): string {
  if (event.kind === 'reset') return `--  ${event.reason}`
  const from = event.from === undefined ? '' : `${safeText(event.from)} ${event.exchanged ? '<->' : '->'} `
  return `${LETTERS[event.kind]}  ${from}${safeText(event.path)}${event.type === 'directory' ? '/' : ''}`
}
