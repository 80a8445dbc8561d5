import { type Command, Option } from 'commander'
import { InvalidArgumentError } from '../../errors.ts'
import { EXPORT_FORMATS, type ExportFormat } from '../../export.ts'
import type { ImportOptions } from '../../import.ts'
import { Server } from '../../server.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { importBar } from '../progress.ts'
import { printJson } from '../report.ts'

interface ImportFlags extends ServerFlags {
  readonly name?: string
  readonly codebase?: string
  readonly format?: ExportFormat
  readonly onto?: string
  readonly quiet?: boolean
}

const IMPORTED = EXPORT_FORMATS.filter((format) => format !== 'git-bundle')

export function addImport(program: Command): void {
  const command = program
    .command('import')
    .summary('make a codebase of an archive')
    .description(
      'Makes a codebase of a tar (compressed or not), a zip or an OCI image, whoever wrote it, and prints its id. What ' +
        'croft exported comes back as it was. All of it, or nothing.',
    )
    .argument('<file>', 'the archive; - is stdin')
    .option('--name <name>', "of the codebase (default: the file's name)")
    .option('--codebase <id>', 'give it to a codebase that exists, as its new version')
    .addOption(new Option('--format <format>', 'what it is (default: by its first bytes)').choices(IMPORTED))
    .option('--onto <id>', 'for an oci-layer or a patch: the codebase or snapshot that it is added to')
    .option('-q, --quiet', 'no progress bar')
    .addHelpText(
      'after',
      `
Examples:
  croft import project.tar.gz
  docker save app:1 | croft import - --format oci-image --name app
  croft import changes.layer.tar --format oci-layer --codebase cb_0123456789abcdef`,
    )
  withServerFlags(command).action(async (file: string, flags: ImportFlags) => {
    await interruptible((signal) => importFile(file, flags, signal))
  })
}

async function importFile(file: string, flags: ImportFlags, signal: AbortSignal): Promise<void> {
  if (file === '-' && flags.name === undefined && flags.codebase === undefined) {
    throw new InvalidArgumentError('Standard input has no name', 'name', { remedy: 'Give --name or --codebase' })
  }
  const { server: url } = serverOption(flags)
  await using server = await Server.connect(url, signal)
  const bar = importBar(flags.quiet === true || flags.json === true)
  const options: ImportOptions = {
    ...(flags.name === undefined ? {} : { name: flags.name }),
    ...(flags.codebase === undefined ? {} : { codebaseId: flags.codebase }),
    ...(flags.format === undefined ? {} : { format: flags.format }),
    ...(flags.onto === undefined ? {} : { onto: flags.onto }),
    onProgress: bar.onProgress,
    signal,
  }
  const result = await server.importArchive(file === '-' ? process.stdin : file, options).finally(bar.stop)
  if (flags.json === true) return printJson(result)
  process.stdout.write(`${result.codebaseId}\n`)
  process.stderr.write(`${result.files} files, root ${result.rootHash}\n`)
}
