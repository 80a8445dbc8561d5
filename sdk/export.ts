import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  ExportContent,
  ExportFormat as ExportFormatOnWire,
  type ExportRequestSchema,
  ExportService,
  type ExportSpecSchema,
  type ImageConfigSchema,
} from '../proto/index.ts'
import { archiveChunks } from './archive-chunks.ts'
import { type AsOption, principalOf } from './as.ts'
import type { Connection } from './client/connection.ts'
import { type DiffSide, sideToWire } from './diff.ts'
import { InvalidArgumentError, UnavailableError } from './errors.ts'

export const EXPORT_FORMATS = [
  'tar',
  'tar.gz',
  'tar.zst',
  'zip',
  'oci-layer',
  'oci-image',
  'patch',
  'git-bundle',
] as const

/**
 * `oci-layer` is a tar for a layer of an image, `oci-image` a tar of an image for `docker load` and `podman load`. Git
 * keeps no empty directories, no times and of modes only whether a file is a program.
 */
export type ExportFormat = (typeof EXPORT_FORMATS)[number]

export interface ArchiveOptions extends AsOption {
  /** Default `tar`. */
  readonly format?: ExportFormat
  /**
   * `whole`: all files. `delta`: what is different from `since`, and what is gone as whiteouts in the form of image
   * layers. Default `whole`, for an `oci-layer` and a `patch` `delta`.
   */
  readonly content?: 'whole' | 'delta'
  /** For a delta. Default `base`, for a snapshot `origin`; a codebase has only snapshots. */
  readonly since?: Exclude<DiffSide, 'live'>
  /** For an `oci-image`. */
  readonly image?: ImageOptions
  /** For a `git-bundle`. */
  readonly commitMessage?: string
  readonly onProgress?: (progress: ExportProgress) => void
}

export interface ImageOptions {
  /** `name:tag`. Default `croft-export:latest`. */
  readonly reference?: string
  /**
   * An archive of the image that the files are put on, as `docker save` or an OCI layout has it: a path, or a stream. What
   * is said here of the configuration takes the place of what it says. Default: none, as `FROM scratch`.
   */
  readonly base?: string | AsyncIterable<Uint8Array>
  /** The directory in the image that the files are in. Default its root. */
  readonly directory?: string
  readonly entrypoint?: readonly string[]
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly workingDirectory?: string
  readonly user?: string
  /** As Go has it: `amd64`, `arm64`. Default that of the server. */
  readonly architecture?: string
}

export interface ExportProgress {
  /** Of files, read so far, and of all files before anything is left out. */
  readonly contentsRead: number
  readonly contentsBytes: number
  /** Of the archive so far. */
  readonly bytes: number
}

export type ExportSource =
  | { readonly case: 'sandboxId'; readonly value: string }
  | { readonly case: 'snapshotId'; readonly value: string }
  | { readonly case: 'codebaseId'; readonly value: string }

/** The archive in pieces, read no faster than they are taken. Throws before its end where it did not come whole. */
export async function* archive(
  connection: Connection,
  source: ExportSource,
  options: ArchiveOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const spec = specToWire(source, options)
  let contentsBytes = 0
  let bytes = 0
  let size: number | undefined
  for await (const { message } of connection.bidi(
    ExportService.method.export,
    requests(spec, options.image?.base),
    options,
  )) {
    switch (message.case) {
      case 'started':
        contentsBytes = Number(message.value.contentsBytes)
        break
      case 'data': {
        const { data, contentsRead } = message.value
        bytes += data.length
        yield data
        options.onProgress?.({ contentsRead: Number(contentsRead), contentsBytes, bytes })
        break
      }
      case 'done':
        size = Number(message.value.size)
        break
      case undefined:
    }
  }
  if (size !== bytes) throw new UnavailableError(`The archive ended after ${bytes} bytes, before its end`)
}

async function* requests(
  spec: MessageInitShape<typeof ExportSpecSchema>,
  base: string | AsyncIterable<Uint8Array> | undefined,
): AsyncGenerator<MessageInitShape<typeof ExportRequestSchema>> {
  yield { message: { case: 'spec', value: spec } }
  if (base === undefined) return
  for await (const data of archiveChunks(base)) yield { message: { case: 'baseImage', value: data } }
}

export function sourceOf(id: string): ExportSource {
  if (id.startsWith('snap_')) return { case: 'snapshotId', value: id }
  return id.startsWith('cb_') ? { case: 'codebaseId', value: id } : { case: 'sandboxId', value: id }
}

/** Of a codebase nobody but the owner has anything. */
export function specToWire(
  source: ExportSource | undefined,
  options: ArchiveOptions,
): MessageInitShape<typeof ExportSpecSchema> {
  const { format = 'tar', content, since, image, commitMessage = '', as } = options
  const index = EXPORT_FORMATS.indexOf(format)
  if (index < 0) {
    const text = `format is ${JSON.stringify(format)}; it must be one of ${EXPORT_FORMATS.join(', ')}`
    throw new InvalidArgumentError(text, 'format')
  }
  return {
    ...(source === undefined ? {} : { source }),
    format: FORMATS[format],
    content: contentOf(content),
    principal: principalOf(source?.case === 'codebaseId' ? 'owner' : as),
    commitMessage,
    ...(since === undefined ? {} : { since: sideToWire(since, 'since') }),
    ...(image === undefined ? {} : { image: imageToWire(image) }),
  }
}

const FORMATS: Readonly<Record<ExportFormat, ExportFormatOnWire>> = {
  tar: ExportFormatOnWire.TAR,
  'tar.gz': ExportFormatOnWire.TAR_GZ,
  'tar.zst': ExportFormatOnWire.TAR_ZST,
  zip: ExportFormatOnWire.ZIP,
  'oci-layer': ExportFormatOnWire.OCI_LAYER,
  'oci-image': ExportFormatOnWire.OCI_IMAGE,
  patch: ExportFormatOnWire.PATCH,
  'git-bundle': ExportFormatOnWire.GIT_BUNDLE,
}

export function formatToWire(format: ExportFormat): ExportFormatOnWire {
  return FORMATS[format]
}

export function formatFromWire(format: ExportFormatOnWire): ExportFormat {
  return EXPORT_FORMATS.find((each) => FORMATS[each] === format) ?? 'tar'
}

function contentOf(content: ArchiveOptions['content']): ExportContent {
  if (content === undefined) return ExportContent.UNSPECIFIED
  if (content === 'whole') return ExportContent.WHOLE
  if (content === 'delta') return ExportContent.DELTA
  throw new InvalidArgumentError(`content is ${JSON.stringify(content)}; it must be whole or delta`, 'content')
}

function imageToWire(image: ImageOptions): MessageInitShape<typeof ImageConfigSchema> {
  const { entrypoint, command, environment = {}, base, ...rest } = image
  return {
    ...rest,
    hasBase: base !== undefined,
    ...(entrypoint === undefined ? {} : { entrypoint: [...entrypoint] }),
    ...(command === undefined ? {} : { command: [...command] }),
    environment: Object.entries(environment).map(([name, value]) => `${name}=${value}`),
  }
}
