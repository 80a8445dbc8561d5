import type { Command } from 'commander'
import { InvalidArgumentError as InvalidOptionError } from '../../errors.ts'
import type { ArchiveOptions, ExportFormat } from '../../export.ts'
import { Server } from '../../server.ts'
import { type ArchiveFlags, archiveOptions, withArchiveFlags } from '../archive-flags.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { exportBar } from '../progress.ts'
import { printJson } from '../report.ts'

interface ExportFlags extends ServerFlags, ArchiveFlags {
  readonly output?: string
  readonly quiet?: boolean
}

export function addExport(program: Command): void {
  const command = program
    .command('export')
    .summary('write files of a sandbox, snapshot or codebase as an archive')
    .description(
      'All files as they are at this moment, or with --delta what changed. The same files give the same bytes. The file ' +
        'appears under its name when it is whole.',
    )
    .argument('<id>', 'of a sandbox, a snapshot or a codebase')
    .option('-o, --output <file>', 'where to; - is stdout (default: <id> with the ending of the format)')
    .option('--base <file>', 'an archive of the image that an oci-image is put on (default: none, as FROM scratch)')
    .option('-q, --quiet', 'no progress bar')
    .addHelpText(
      'after',
      `
Examples:
  croft export sb_0123456789abcdef -o result.tar
  croft export sb_0123456789abcdef --format tar.gz -o - | tar -xz -C /tmp/result
  croft export snap_0123456789abcdef --format git-bundle --delta -o result.bundle
  croft export sb_0123456789abcdef --format oci-image --tag app:1 --cmd /app -o - | docker load
  croft export sb_0123456789abcdef --format oci-image --base debian.tar --at /srv --tag app:2 -o app.tar`,
    )
  withServerFlags(withArchiveFlags(command)).action(async (id: string, flags: ExportFlags) => {
    await interruptible((signal) => exportFiles(id, flags, signal))
  })
}

async function exportFiles(id: string, flags: ExportFlags, signal: AbortSignal): Promise<void> {
  const output = flags.output ?? `${id}${ENDINGS[flags.format]}`
  if (output === '-' && process.stdout.isTTY && flags.format !== 'patch') {
    throw new InvalidOptionError('An archive is nothing for a terminal', 'output', {
      remedy: 'Redirect stdout or use -o FILE',
    })
  }
  const { server: url } = serverOption(flags)
  await using server = await Server.connect(url, signal)
  const bar = exportBar(flags.quiet === true || flags.json === true)
  const options = {
    ...archiveOptions(flags),
    onProgress: bar.onProgress,
    signal,
    to: output === '-' ? process.stdout : output,
  }
  const result = await write(server, id, options).finally(bar.stop)
  if (flags.json === true && output !== '-') printJson({ ...named(id), file: output, format: flags.format, ...result })
  else process.stderr.write(`${output === '-' ? 'stdout' : output}: ${result.bytes} bytes, sha256 ${result.sha256}\n`)
}

function write(server: Server, id: string, options: ArchiveOptions & { to: string | NodeJS.WriteStream }) {
  if (id.startsWith('snap_')) return server.snapshots.export(id, options)
  if (id.startsWith('cb_')) return server.exportCodebase(id, options)
  return server.exportSandbox(id, options)
}

function named(id: string): Record<string, string> {
  if (id.startsWith('snap_')) return { snapshotId: id }
  return id.startsWith('cb_') ? { codebaseId: id } : { sandboxId: id }
}

const ENDINGS: Readonly<Record<ExportFormat, string>> = {
  tar: '.tar',
  'tar.gz': '.tar.gz',
  'tar.zst': '.tar.zst',
  zip: '.zip',
  'oci-layer': '.layer.tar',
  'oci-image': '.oci.tar',
  patch: '.patch',
  'git-bundle': '.bundle',
}
