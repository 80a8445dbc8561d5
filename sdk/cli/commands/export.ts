import type { Command } from 'commander'
import { InvalidArgumentError } from '../../errors.ts'
import { Sandbox } from '../../sandbox.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { printJson } from '../report.ts'

interface ExportFlags extends ServerFlags {
  readonly output?: string
  readonly delta?: boolean
  readonly owner?: boolean
}

export function addExport(program: Command): void {
  const command = program
    .command('export')
    .summary('write the files of a sandbox as a tar')
    .description('The whole view as a tar, or what changed in it.')
    .argument('<sandbox>', 'its id')
    .option('-o, --output <file>', 'where to; - is stdout (default: <id>.tar)')
    .option('--delta', 'only what changed; deletions as whiteouts, as in image layers')
    .option('--owner', 'with what the rules hide')
    .addHelpText(
      'after',
      '\nExamples:\n  croft export sb_0123456789abcdef -o result.tar\n  croft export sb_0123456789abcdef -o - | tar -x -C /tmp/result',
    )
  withServerFlags(command).action(async (id: string, flags: ExportFlags) => {
    await interruptible((signal) => exportSandbox(id, flags, signal))
  })
}

async function exportSandbox(id: string, flags: ExportFlags, signal: AbortSignal): Promise<void> {
  const output = flags.output ?? `${id}.tar`
  if (output === '-' && process.stdout.isTTY) {
    throw new InvalidArgumentError('A tar is nothing for a terminal', 'output', {
      remedy: 'Redirect stdout or use -o FILE',
    })
  }
  await using sandbox = await Sandbox.connect(id, { ...serverOption(flags), signal })
  const result = await sandbox.exportSnapshot({
    content: flags.delta === true ? 'delta' : 'view',
    as: flags.owner === true ? 'owner' : 'sandbox',
    signal,
    to: output === '-' ? process.stdout : output,
  })
  if (flags.json === true && output !== '-') printJson({ sandboxId: id, file: output, ...result })
  else process.stderr.write(`${output === '-' ? 'stdout' : output}: ${result.bytes} bytes, sha256 ${result.sha256}\n`)
}
