import { createHash } from 'node:crypto'
import { replaceFile } from '../../fs-layer/store/edit.ts'
import type { Store } from '../../fs-layer/store/store.ts'
import type { UploadChunk, UploadChunk_Metadata } from '../../proto/index.ts'
import type { Quotas } from '../access/quotas.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import { parseUploadPath } from '../files/view-path.ts'
import type { Codebases } from './codebases.ts'

export interface UploadFileDependencies {
  readonly codebases: Codebases
  readonly store: Store
  readonly quotas: Pick<Quotas, 'check'>
  readonly limits: Limits
  readonly nowMs: () => number
}

export interface UploadedFile {
  readonly codebaseId: string
  readonly filePath: string
  readonly size: bigint
  /** MD5 in hex, as wire v1 has it. Nothing of ours relies on it. */
  readonly checksum: string
}

/**
 * One file: metadata, then its bytes. They become a blob while they come in; only when all of them are there
 * does the codebase get a version with the file in it, so a stream that is cut leaves nothing to be seen.
 */
export async function uploadFile(
  chunks: AsyncIterable<UploadChunk>,
  { codebases, store, quotas, limits, nowMs }: UploadFileDependencies,
): Promise<UploadedFile> {
  const stream = chunks[Symbol.asyncIterator]()
  const metadata = await firstOf(stream)
  const path = parseUploadPath(metadata.filePath, 'metadata.file_path')
  const { id: codebaseId, ownerId } = codebases.get(metadata.codebaseId)
  const size = sizeOf(metadata, limits)
  // Before it is sent; a file that it replaces gives its room back only afterwards.
  quotas.check(ownerId, { bytes: size })
  const mode = modeOf(metadata)

  const md5 = createHash('md5')
  const blob = await store.putBlob(
    {},
    dataOf(stream, size, (data) => md5.update(data)),
  )
  const mtimeMs = nowMs()
  await codebases.change(codebaseId, (current) =>
    replaceFile(store, current.root, path, {
      size: blob.size,
      hash: blob.hash,
      mode,
      mtime: Math.floor(mtimeMs / 1000),
      mtimeNsec: Math.floor((mtimeMs % 1000) * 1e6),
    }),
  )
  return { codebaseId, filePath: metadata.filePath, size: BigInt(blob.size), checksum: md5.digest('hex') }
}

async function firstOf(stream: AsyncIterator<UploadChunk>): Promise<UploadChunk_Metadata> {
  const first = await stream.next()
  if (first.done === true || first.value.content.case !== 'metadata') {
    throw invalid('metadata', 'must be the first message of the stream')
  }
  return first.value.content.value
}

function sizeOf({ totalSize }: UploadChunk_Metadata, limits: Limits): number {
  if (totalSize < 0n) throw invalid('metadata.total_size', 'must not be negative')
  if (totalSize > BigInt(limits.maxUploadBytes)) {
    throw new CroftError(
      'RESOURCE_EXHAUSTED',
      `metadata.total_size is over the limit of ${limits.maxUploadBytes} bytes`,
      {
        field: 'metadata.total_size',
      },
    )
  }
  return Number(totalSize)
}

function modeOf({ mode }: UploadChunk_Metadata): number {
  if (mode > 0o7777) throw invalid('metadata.mode', 'has bits beyond 07777')
  return mode === 0 ? 0o644 : mode
}

async function* dataOf(
  stream: AsyncIterator<UploadChunk>,
  totalSize: number,
  onData: (data: Uint8Array) => void,
): AsyncGenerator<Buffer> {
  let received = 0
  for (let next = await stream.next(); next.done !== true; next = await stream.next()) {
    const { content } = next.value
    if (content.case !== 'data') throw invalid('metadata', 'must come once: a stream carries one file')
    received += content.value.length
    if (received > totalSize) throw invalid('metadata.total_size', `is ${totalSize}, but more bytes were sent`)
    onData(content.value)
    yield Buffer.from(content.value.buffer, content.value.byteOffset, content.value.length)
  }
  if (received < totalSize)
    throw invalid('metadata.total_size', `is ${totalSize}, but only ${received} bytes were sent`)
}
