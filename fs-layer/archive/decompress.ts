import { createGunzip, createInflateRaw } from 'node:zlib'
import { ArchiveError } from './archive-error.ts'
import { through, throughProgram, zstdIsThere } from './compress.ts'
import type { Meter } from './meter.ts'

export type Compression = 'gzip' | 'zstd' | 'none'

/** By the first bytes. */
export function compressionOf(head: Buffer): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip'
  return head.length >= 4 && head.readUInt32LE(0) === 0xfd2fb528 ? 'zstd' : 'none'
}

/** @throws {ArchiveError} `damaged`, `truncated`, `unsupported`, and what the meter throws */
export async function* decompressed(
  source: AsyncIterable<Buffer>,
  compression: Compression,
  meter: Meter,
): AsyncGenerator<Buffer> {
  for await (const chunk of unpacked(counted(source, meter), compression)) {
    meter.unpacked(chunk.length)
    yield chunk
  }
}

/** @throws {ArchiveError} `damaged`, `truncated` */
export async function* inflatedRaw(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* told(through(source, createInflateRaw()))
}

function unpacked(source: AsyncIterable<Buffer>, compression: Compression): AsyncIterable<Buffer> {
  if (compression === 'none') return source
  if (compression === 'gzip') return told(through(source, createGunzip()))
  if (!zstdIsThere()) {
    throw new ArchiveError('unsupported', 'It is compressed by zstd, and the server has no program `zstd`')
  }
  return told(throughProgram(source, ['-dcq']))
}

async function* counted(source: AsyncIterable<Buffer>, meter: Meter): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    meter.packed(chunk.length)
    yield chunk
  }
}

async function* told(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* chunks
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    if (code === 'Z_BUF_ERROR' || (code === ZSTD_FAILED && /premature end/i.test(String(error)))) {
      throw new ArchiveError('truncated', 'The archive ends before its end', undefined, error)
    }
    if (!code.startsWith('Z_') && code !== ZSTD_FAILED) throw error
    throw new ArchiveError('damaged', 'It cannot be decompressed', undefined, error)
  }
}

/** The code of the error of a program that says that its input is wrong. */
const ZSTD_FAILED = 'ZSTD_FAILED'
