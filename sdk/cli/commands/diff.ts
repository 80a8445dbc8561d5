import { once } from 'node:events'
import type { Command } from 'commander'
import { Sandbox } from '../../sandbox.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { printJson, safeText } from '../report.ts'
import { type SideFlags, sideOptions, withSideFlags } from '../side-flags.ts'

interface DiffFlags extends ServerFlags, SideFlags {
  readonly owner?: boolean
}

export function addDiff(program: Command): void {
  const command = program
    .command('diff')
    .summary('print what a sandbox changed as a patch')
    .description(
      'Prints the differences between two sides as a patch for `git apply`, and for patch(1) where all of it is text. It ' +
        'has no directories, no modes but whether a file is a program, and nothing of .git.',
    )
    .argument('<sandbox>', 'its id')
    .option('--owner', 'with what the rules hide')
    .addHelpText(
      'after',
      `
Examples:
  croft diff sb_0123456789abcdef | git apply
  croft diff sb_0123456789abcdef --from snap_0123456789abcdef --to live`,
    )
  withServerFlags(withSideFlags(command)).action(async (id: string, flags: DiffFlags) => {
    await interruptible((signal) => diff(id, flags, signal))
  })
}

async function diff(id: string, flags: DiffFlags, signal: AbortSignal): Promise<void> {
  await using sandbox = await Sandbox.connect(id, { ...serverOption(flags), signal })
  const options = {
    ...sideOptions(flags),
    as: flags.owner === true ? ('owner' as const) : ('sandbox' as const),
    signal,
  }
  if (flags.json === true) {
    printJson({ sandboxId: id, patchBase64: (await sandbox.diff(options)).toString('base64') })
    return
  }
  // What is in files must not speak to the terminal; a program gets the bytes.
  const shown = process.stdout.isTTY ? forTerminal(sandbox.diffStream(options)) : sandbox.diffStream(options)
  for await (const piece of shown) if (!process.stdout.write(piece)) await once(process.stdout, 'drain')
}

async function* forTerminal(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  for await (const piece of pieces) {
    const text = decoder.decode(piece, { stream: true })
    yield text.split('\t').map(safeText).join('\t')
  }
}
