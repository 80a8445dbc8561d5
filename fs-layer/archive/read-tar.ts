import type { ByteString } from '../protocol/filesystem.ts'
import { ArchiveError } from './archive-error.ts'
import type { ByteReader } from './byte-reader.ts'
import { EXACT_TIME_KEY } from './tar-header.ts'

/** An entry as the archive has it: nothing of it is checked but that it can be read. */
export interface RawEntry {
  /** In bytes, with whatever is in front of it. */
  readonly path: ByteString
  readonly kind: 'file' | 'directory' | 'symlink' | 'hardlink' | 'device' | 'fifo' | 'socket'
  readonly mode: number
  readonly mtime: number
  readonly mtimeNsec: number
  /** Of a file. */
  readonly size: number
  readonly target: ByteString
  /** Of a file; what is not read is passed over. */
  readonly contents: AsyncIterable<Buffer>
}

/**
 * The entries of a tar: ustar, with the extensions of pax and GNU for names, sizes and times. Ends behind the empty
 * block that ends the archive.
 *
 * @throws {ArchiveError} `truncated`, `damaged`, `unsupported`
 */
export async function* readTar(reader: ByteReader): AsyncGenerator<RawEntry> {
  let extra: Extra = {}
  for (;;) {
    const block = await reader.read(BLOCK_BYTES)
    if (block.every((byte) => byte === 0)) return
    checkSum(block)
    const header = headerOf(block)
    if (header.type === 'x' || header.type === 'L' || header.type === 'K') {
      extra = { ...extra, ...(await extension(reader, header)) }
      continue
    }
    if (header.type === 'g') {
      await extension(reader, header)
      continue
    }
    const path = extra.path ?? header.path
    const kind = kindOf(header.type, path)
    // A link of GNU tar has the size of what it is to, and no contents.
    const size = kind === 'file' ? (extra.size ?? header.size) : 0
    if (extra.isSparse === true) throw new ArchiveError('unsupported', 'A file with holes left out is not read', path)
    let left = size
    async function* contents() {
      for await (const piece of reader.take(left)) {
        left -= piece.length
        yield piece
      }
    }
    const { mode } = header
    const time = { mtime: header.mtime, mtimeNsec: 0, ...extra.time }
    yield { path, kind, mode, ...time, size, target: extra.target ?? header.target, contents: contents() }
    await reader.skip(left + ((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES))
    extra = {}
  }
}

const BLOCK_BYTES = 512
/** Of names and numbers for one entry; names are at most 4,096 bytes long. */
const MAX_EXTENSION_BYTES = 64 * 1024

interface Header {
  readonly path: ByteString
  readonly type: string
  readonly mode: number
  readonly size: number
  readonly mtime: number
  readonly target: ByteString
}

interface Extra {
  readonly path?: ByteString
  readonly target?: ByteString
  readonly size?: number
  readonly time?: { readonly mtime: number; readonly mtimeNsec: number }
  readonly isSparse?: boolean
}

/** Whether it begins as a tar does. */
export function isTarHeader(block: Buffer): boolean {
  return block.length === BLOCK_BYTES && (sumOf(block) === numberAt(block, 148, 8) || block.every((byte) => byte === 0))
}

function kindOf(type: string, path: ByteString): RawEntry['kind'] {
  switch (type) {
    case '0':
    case '\0':
    case '7':
      return path.endsWith('/') ? 'directory' : 'file'
    case '1':
      return 'hardlink'
    case '2':
      return 'symlink'
    case '3':
    case '4':
      return 'device'
    case '5':
      return 'directory'
    case '6':
      return 'fifo'
    default:
      throw new ArchiveError('unsupported', `An entry of the type ${JSON.stringify(type)}`, path)
  }
}

function checkSum(block: Buffer): void {
  if (sumOf(block) === numberAt(block, 148, 8)) return
  throw new ArchiveError('damaged', 'What should be the header of an entry is none: this is no tar, or it is damaged')
}

function sumOf(block: Buffer): number {
  let sum = 8 * 0x20
  for (let at = 0; at < block.length; at++) if (at < 148 || at >= 156) sum += block[at] ?? 0
  return sum
}

function headerOf(block: Buffer): Header {
  const name = textAt(block, 0, 100)
  // Only POSIX has a prefix there; GNU has times.
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? textAt(block, 345, 155) : ''
  return {
    path: prefix === '' ? name : `${prefix}/${name}`,
    type: String.fromCharCode(block[156] ?? 0),
    mode: numberAt(block, 100, 8) & 0o7777,
    size: sizeOf(numberAt(block, 124, 12), name),
    mtime: numberAt(block, 136, 12),
    target: textAt(block, 157, 100),
  }
}

function textAt(block: Buffer, offset: number, length: number): ByteString {
  const end = block.subarray(offset, offset + length).indexOf(0)
  return block.toString('latin1', offset, offset + (end < 0 ? length : end))
}

/** Octal digits, or where the highest bit is set a number in two's complement. Not a number: NaN. */
function numberAt(block: Buffer, offset: number, length: number): number {
  const first = block[offset] ?? 0
  if ((first & 0x80) === 0) {
    const text = textAt(block, offset, length).trim()
    return text === '' ? 0 : /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN
  }
  let value = (first & 0x40) === 0 ? BigInt(first & 0x3f) : BigInt(first) - 0x100n
  for (let at = offset + 1; at < offset + length; at++) value = (value << 8n) | BigInt(block[at] ?? 0)
  return Number(value)
}

function sizeOf(size: number, path: ByteString): number {
  if (Number.isSafeInteger(size) && size >= 0) return size
  throw new ArchiveError('damaged', 'An entry whose size is none', path)
}

async function extension(reader: ByteReader, { type, size, path }: Header): Promise<Extra> {
  if (size > MAX_EXTENSION_BYTES) {
    throw new ArchiveError('limit', `Names and times of one entry take more than ${MAX_EXTENSION_BYTES} bytes`, path)
  }
  const data = await reader.read(size)
  await reader.skip((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES)
  if (type === 'L') return { path: textAt(data, 0, size) }
  if (type === 'K') return { target: textAt(data, 0, size) }
  return paxRecords(data, path)
}

function paxRecords(data: Buffer, where: ByteString): Extra {
  let extra: Extra = {}
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at)
    const length = Number(data.toString('latin1', at, Math.max(space, at)))
    const equals = data.indexOf(0x3d, space)
    const isWhole = Number.isInteger(length) && space > at && equals > space && data[at + length - 1] === 0x0a
    if (!isWhole || equals >= at + length) throw new ArchiveError('damaged', 'A pax record that is none', where)
    const key = data.toString('latin1', space + 1, equals)
    const value = data.toString('latin1', equals + 1, at + length - 1)
    extra = { ...extra, ...paxValue(key, value, where) }
    at += length
  }
  return extra
}

function paxValue(key: string, value: ByteString, where: ByteString): Extra {
  if (key === 'path') return { path: value }
  if (key === 'linkpath') return { target: value }
  if (key === 'size') return { size: sizeOf(/^\d+$/.test(value) ? Number(value) : Number.NaN, where) }
  if (key === 'mtime') return { time: paxTime(value, where) }
  if (key === EXACT_TIME_KEY) {
    const [, seconds, nanoseconds] = /^(-?\d+) (\d{1,9})$/.exec(value) ?? []
    if (seconds !== undefined) return { time: { mtime: Number(seconds), mtimeNsec: Number(nanoseconds) } }
  }
  return key.startsWith('GNU.sparse.') ? { isSparse: true } : {}
}

/** Of a decimal fraction; what is finer than a nanosecond is cut off, towards the past. */
function paxTime(text: string, where: ByteString): { mtime: number; mtimeNsec: number } {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d*))?$/.exec(text) ?? []
  if (whole === undefined) throw new ArchiveError('damaged', 'A time that is none', where)
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'))
  if (sign !== '-') return { mtime: Number(whole), mtimeNsec: nanoseconds }
  return nanoseconds === 0
    ? { mtime: -Number(whole), mtimeNsec: 0 }
    : { mtime: -Number(whole) - 1, mtimeNsec: 1_000_000_000 - nanoseconds }
}
