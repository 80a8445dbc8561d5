import { type Command, InvalidArgumentError, Option } from 'commander'
import { InvalidArgumentError as InvalidOptionError } from '../errors.ts'
import { type ArchiveOptions, EXPORT_FORMATS, type ExportFormat, type ImageOptions } from '../export.ts'
import { parseList } from './arguments.ts'

export interface ArchiveFlags {
  readonly format: ExportFormat
  readonly delta?: boolean
  readonly since?: 'base' | 'origin' | `snap_${string}`
  readonly owner?: boolean
  readonly message?: string
  readonly tag?: string
  readonly base?: string
  readonly at?: string
  readonly cmd?: readonly string[]
  readonly entrypoint?: readonly string[]
  readonly imageEnv?: readonly string[]
  readonly workdir?: string
  readonly imageUser?: string
}

/** What `export` and `jobs start` have in common: what the archive is to be. */
export function withArchiveFlags(command: Command): Command {
  return command
    .addOption(new Option('--format <format>', 'of the archive').choices([...EXPORT_FORMATS]).default('tar'))
    .option('--delta', 'only what changed; deletions as whiteouts, as in image layers')
    .option('--since <side>', 'with --delta: base, origin or the id of a snapshot', parseSince)
    .option('--owner', 'with what the rules hide')
    .option('-m, --message <text>', 'of the commit, for a git-bundle')
    .option('--tag <name>', 'what an oci-image is called (default: croft-export:latest)')
    .option('--at <dir>', 'the directory in an oci-image that the files are in (default: /)')
    .option('--cmd <word>', 'what an oci-image runs; repeatable, a word each', parseList)
    .option('--entrypoint <word>', 'what comes before that; repeatable, a word each', parseList)
    .option('--image-env <name=value>', 'in an oci-image; repeatable', parseList)
    .option('--workdir <dir>', 'in an oci-image')
    .option('--image-user <name>', 'of an oci-image')
}

export function archiveOptions(flags: ArchiveFlags): Omit<ArchiveOptions, 'onProgress' | 'signal'> {
  const image = imageOf(flags)
  return {
    format: flags.format,
    as: flags.owner === true ? 'owner' : 'sandbox',
    ...(flags.delta === true ? { content: 'delta' as const } : {}),
    ...(flags.since === undefined ? {} : { since: flags.since }),
    ...(flags.message === undefined ? {} : { commitMessage: flags.message }),
    ...(image === undefined ? {} : { image }),
  }
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
}: ArchiveFlags): ImageOptions | undefined {
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
