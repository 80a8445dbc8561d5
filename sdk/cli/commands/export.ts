import { type Command, InvalidArgumentError, Option } from 'commander'
import { InvalidArgumentError as InvalidOptionError } from '../../errors.ts'
import { type ArchiveOptions, EXPORT_FORMATS, type ExportFormat, type ImageOptions } from '../../export.ts'
import { Server } from '../../server.ts'
import { parseList } from '../arguments.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { exportBar } from '../progress.ts'
import { printJson } from '../report.ts'

interface ExportFlags extends ServerFlags, ImageFlags {
  readonly output?: string
  readonly format: ExportFormat
  readonly delta?: boolean
  readonly since?: 'base' | 'origin' | `snap_${string}`
  readonly owner?: boolean
  readonly message?: string
  readonly quiet?: boolean
}

interface ImageFlags {
  readonly tag?: string
  readonly base?: string
  readonly at?: string
  readonly cmd?: readonly string[]
  readonly entrypoint?: readonly string[]
  readonly imageEnv?: readonly string[]
  readonly workdir?: string
  readonly imageUser?: string
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
    .addOption(new Option('--format <format>', 'of the archive').choices([...EXPORT_FORMATS]).default('tar'))
    .option('--delta', 'only what changed; deletions as whiteouts, as in image layers')
    .option('--since <side>', 'with --delta: base, origin or the id of a snapshot', parseSince)
    .option('--owner', 'with what the rules hide')
    .option('-m, --message <text>', 'of the commit, for a git-bundle')
    .option('--tag <name>', 'what an oci-image is called (default: croft-export:latest)')
    .option('--base <file>', 'an archive of the image that an oci-image is put on (default: none, as FROM scratch)')
    .option('--at <dir>', 'the directory in an oci-image that the files are in (default: /)')
    .option('--cmd <word>', 'what an oci-image runs; repeatable, a word each', parseList)
    .option('--entrypoint <word>', 'what comes before that; repeatable, a word each', parseList)
    .option('--image-env <name=value>', 'in an oci-image; repeatable', parseList)
    .option('--workdir <dir>', 'in an oci-image')
    .option('--image-user <name>', 'of an oci-image')
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
  withServerFlags(command).action(async (id: string, flags: ExportFlags) => {
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
  const image = imageOf(flags)
  const options = {
    format: flags.format,
    ...(flags.delta === true ? { content: 'delta' as const } : {}),
    ...(flags.since === undefined ? {} : { since: flags.since }),
    ...(flags.message === undefined ? {} : { commitMessage: flags.message }),
    ...(image === undefined ? {} : { image }),
    onProgress: bar.onProgress,
    signal,
    to: output === '-' ? process.stdout : output,
  }
  const result = await write(server, id, flags.owner === true ? 'owner' : 'sandbox', options).finally(bar.stop)
  if (flags.json === true && output !== '-') printJson({ ...named(id), file: output, format: flags.format, ...result })
  else process.stderr.write(`${output === '-' ? 'stdout' : output}: ${result.bytes} bytes, sha256 ${result.sha256}\n`)
}

function write(
  server: Server,
  id: string,
  as: 'owner' | 'sandbox',
  options: Omit<ArchiveOptions, 'as'> & { to: string | NodeJS.WriteStream },
) {
  if (id.startsWith('snap_')) return server.snapshots.export(id, { ...options, as })
  if (id.startsWith('cb_')) return server.exportCodebase(id, options)
  return server.exportSandbox(id, { ...options, as })
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

function imageOf({
  tag,
  base,
  at,
  cmd,
  entrypoint,
  imageEnv,
  workdir,
  imageUser,
}: ImageFlags): ImageOptions | undefined {
  const image: ImageOptions = {
    ...(tag === undefined ? {} : { reference: tag }),
    ...(base === undefined ? {} : { base }),
    ...(at === undefined ? {} : { directory: at }),
    ...(cmd === undefined ? {} : { command: cmd }),
    ...(entrypoint === undefined ? {} : { entrypoint }),
    ...(imageEnv === undefined ? {} : { environment: Object.fromEntries(imageEnv.map(variable)) }),
    ...(workdir === undefined ? {} : { workingDirectory: workdir }),
    ...(imageUser === undefined ? {} : { user: imageUser }),
  }
  return Object.keys(image).length === 0 ? undefined : image
}

function variable(text: string): [string, string] {
  const equals = text.indexOf('=')
  if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)]
  throw new InvalidOptionError(`${JSON.stringify(text)} is not NAME=value`, 'image-env')
}

function parseSince(text: string): 'base' | 'origin' | `snap_${string}` {
  if (text === 'base' || text === 'origin') return text
  if (/^snap_[0-9a-f]{16}$/.test(text)) return text as `snap_${string}`
  throw new InvalidArgumentError(`${JSON.stringify(text)} is neither base nor origin nor the id of a snapshot`)
}
