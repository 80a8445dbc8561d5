import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { ExportService, type ImportRequestSchema, type ImportSpecSchema } from '../proto/index.ts'
import { archiveChunks, unreadable } from './archive-chunks.ts'
import type { Connection } from './client/connection.ts'
import { InvalidArgumentError } from './errors.ts'
import { EXPORT_FORMATS, type ExportFormat, formatFromWire, formatToWire } from './export.ts'

export interface ImportOptions {
  /** Of a new codebase. Default: the file's name; a stream has none. */
  readonly name?: string
  /** Gets what is in the archive as its new version. Default: a codebase is made. */
  readonly codebaseId?: string
  /** With `codebaseId`: only if this is its version still. SHA-256 in hex. */
  readonly ifRootHash?: string
  /**
   * Default: what it is by its first bytes, of a tar, a zip and an image that we wrote. An `oci-layer`, a `patch`, and an image of
   * `docker save`, is never guessed.
   */
  readonly format?: ExportFormat
  /** For an `oci-layer` or a `patch`: the id of the codebase or snapshot that it is added to. Default: `codebaseId`. */
  readonly onto?: string
  readonly signal?: AbortSignal
  /** Bytes sent so far, and of the file. */
  readonly onProgress?: (progress: { readonly bytes: number; readonly totalBytes: number | undefined }) => void
}

export interface ImportResult {
  readonly codebaseId: string
  /** SHA-256 of the version's root, in hex. */
  readonly rootHash: string
  /** What it was taken for. */
  readonly format: ExportFormat
  /** Files and links of the version, and their bytes. */
  readonly files: number
  readonly contentsBytes: number
  /** Of the archive. */
  readonly bytes: number
  readonly sha256: string
}

/** All or nothing: when it rejects, nothing has changed on the server. */
export async function importArchive(
  connection: Connection,
  from: string | AsyncIterable<Uint8Array>,
  options: ImportOptions,
): Promise<ImportResult> {
  const spec = specOf(from, options)
  const requests = requestsOf(spec, from, options)
  const result = await connection.clientStream(ExportService.method.import, requests, options)
  const { codebase } = result
  return {
    codebaseId: codebase?.id ?? '',
    rootHash: Buffer.from(codebase?.rootHash ?? []).toString('hex'),
    format: formatFromWire(result.format),
    files: codebase?.fileCount ?? 0,
    contentsBytes: Number(codebase?.size ?? 0n),
    bytes: Number(result.size),
    sha256: Buffer.from(result.sha256).toString('hex'),
  }
}

function specOf(
  from: string | AsyncIterable<Uint8Array>,
  { name, codebaseId, ifRootHash = '', format, onto }: ImportOptions,
): MessageInitShape<typeof ImportSpecSchema> {
  if (name !== undefined && codebaseId !== undefined) {
    throw new InvalidArgumentError('There are name and codebaseId; give one of them', 'name')
  }
  if (format !== undefined && !EXPORT_FORMATS.includes(format)) {
    const text = `format is ${JSON.stringify(format)}; it must be one of ${EXPORT_FORMATS.join(', ')}`
    throw new InvalidArgumentError(text, 'format')
  }
  const newCodebase = { name: name ?? (typeof from === 'string' ? basename(from) : '') }
  return {
    target:
      codebaseId === undefined
        ? { case: 'newCodebase', value: newCodebase }
        : { case: 'codebaseId', value: codebaseId },
    ifRootHash: Buffer.from(ifRootHash, 'hex'),
    ...(format === undefined ? {} : { format: formatToWire(format) }),
    ...(onto === undefined ? {} : { base: { base: { case: idKind(onto), value: onto } } }),
  }
}

function idKind(id: string): 'codebaseId' | 'snapshotId' {
  return id.startsWith('snap_') ? 'snapshotId' : 'codebaseId'
}

async function* requestsOf(
  spec: MessageInitShape<typeof ImportSpecSchema>,
  from: string | AsyncIterable<Uint8Array>,
  { onProgress }: ImportOptions,
): AsyncGenerator<MessageInitShape<typeof ImportRequestSchema>> {
  yield { message: { case: 'spec', value: spec } }
  const totalBytes = typeof from === 'string' ? await sizeOf(from) : undefined
  let bytes = 0
  for await (const data of archiveChunks(from)) {
    bytes += data.length
    yield { message: { case: 'data', value: data } }
    onProgress?.({ bytes, totalBytes })
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    throw unreadable(path, error)
  }
}
