import { crc32 } from 'node:zlib'
import type { ByteString } from '../protocol/filesystem.ts'
import { ArchiveError } from './archive-error.ts'
import { type ArchiveFile, chunksAt, readAt } from './archive-file.ts'
import { ByteReader } from './byte-reader.ts'
import { inflatedRaw } from './decompress.ts'
import type { Meter } from './meter.ts'
import type { RawEntry } from './read-tar.ts'
import {
  CENTRAL_HEADER,
  DEFLATED,
  END,
  EXTRA_EXACT_TIME,
  EXTRA_UNIX_TIME,
  EXTRA_ZIP64,
  LOCAL_HEADER,
  ROOT_COMMENT,
  STORED,
  ZIP64_END,
  ZIP64_LOCATOR,
} from './zip-format.ts'

/**
 * The entries of a zip in the order of its directory, names in the bytes that they have. Sums are checked as contents
 * are read.
 *
 * @throws {ArchiveError} `truncated`, `damaged`, `unsupported`, and what the meter throws
 */
export async function* readZip(file: ArchiveFile, meter: Meter): AsyncGenerator<RawEntry> {
  meter.packed(file.size)
  const { entries, at, comment } = await endOf(file)
  const root = rootOf(comment)
  if (root !== null) yield root
  await using reader = new ByteReader(chunksAt(file, at))
  for (let left = entries; left > 0; left--) yield await entryOf(file, await centralOf(reader), meter)
}

const END_BYTES = 22
const MAX_COMMENT_BYTES = 0xffff
const MAX_U32 = 0xffffffff
const MADE_ON_UNIX = 3
const FLAG_ENCRYPTED = 0x0001
const MAX_TARGET_BYTES = 4096

interface Central {
  readonly name: ByteString
  readonly isUnix: boolean
  readonly flags: number
  readonly method: number
  readonly crc: number
  readonly compressed: number
  readonly size: number
  readonly attributes: number
  readonly offset: number
  readonly mtime: number
  readonly mtimeNsec: number
}

async function endOf(file: ArchiveFile): Promise<{ entries: number; at: number; comment: Buffer }> {
  const length = Math.min(file.size, END_BYTES + MAX_COMMENT_BYTES)
  const tail = await readAt(file, file.size - length, length)
  for (let at = tail.length - END_BYTES; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== END || at + END_BYTES + tail.readUInt16LE(at + 20) !== tail.length) continue
    const comment = tail.subarray(at + END_BYTES)
    const start = file.size - length + at
    const wide = await wideEndOf(file, start)
    if (wide !== null) return { ...wide, comment }
    return { entries: tail.readUInt16LE(at + 10), at: tail.readUInt32LE(at + 16), comment }
  }
  throw new ArchiveError('truncated', 'The zip has no directory at its end')
}

async function wideEndOf(file: ArchiveFile, end: number): Promise<{ entries: number; at: number } | null> {
  if (end < 20) return null
  const locator = await readAt(file, end - 20, 20)
  if (locator.readUInt32LE(0) !== ZIP64_LOCATOR) return null
  const record = await readAt(file, numberOf(locator, 8), 56)
  if (record.readUInt32LE(0) !== ZIP64_END) throw new ArchiveError('damaged', 'The zip has no directory where it says')
  return { entries: numberOf(record, 32), at: numberOf(record, 48) }
}

async function centralOf(reader: ByteReader): Promise<Central> {
  const head = await reader.read(46)
  if (head.readUInt32LE(0) !== CENTRAL_HEADER) throw new ArchiveError('damaged', 'The directory of the zip is damaged')
  const name = (await reader.read(head.readUInt16LE(28))).toString('latin1')
  const extra = await reader.read(head.readUInt16LE(30))
  await reader.skip(head.readUInt16LE(32))
  const short = {
    compressed: head.readUInt32LE(20),
    size: head.readUInt32LE(24),
    offset: head.readUInt32LE(42),
    mtime: dosSeconds(head.readUInt32LE(12)),
    mtimeNsec: 0,
  }
  return {
    name,
    isUnix: head.readUInt8(5) === MADE_ON_UNIX,
    flags: head.readUInt16LE(8),
    method: head.readUInt16LE(10),
    crc: head.readUInt32LE(16),
    attributes: head.readUInt32LE(38),
    ...short,
    ...extrasOf(extra, short, name),
  }
}

type Wide = Pick<Central, 'compressed' | 'size' | 'offset'>

function extrasOf(extra: Buffer, short: Wide, name: ByteString): Partial<Central> {
  let found: Partial<Central> = {}
  for (let at = 0; at + 4 <= extra.length; ) {
    const data = extra.subarray(at + 4, at + 4 + extra.readUInt16LE(at + 2))
    const id = extra.readUInt16LE(at)
    at += 4 + extra.readUInt16LE(at + 2)
    if (at > extra.length) throw new ArchiveError('damaged', 'An extra field that is cut off', name)
    if (id === EXTRA_ZIP64) found = { ...found, ...wideFields(data, short, name) }
    // The exact time is the better one, whichever comes first.
    if (id === EXTRA_UNIX_TIME && data.length >= 5 && found.mtimeNsec === undefined)
      found = { ...found, mtime: data.readInt32LE(1) }
    if (id === EXTRA_EXACT_TIME && data.length === 12)
      found = { ...found, mtime: Number(data.readBigInt64LE(0)), mtimeNsec: data.readUInt32LE(8) }
  }
  return found
}

/** Those are there, in this order, for which the header has no room. */
function wideFields(data: Buffer, short: Wide, name: ByteString): Partial<Wide> {
  let at = 0
  const wide: { -readonly [K in keyof Wide]?: number } = {}
  for (const key of ['size', 'compressed', 'offset'] as const) {
    if (short[key] !== MAX_U32) continue
    if (at + 8 > data.length) throw new ArchiveError('damaged', 'A size that is cut off', name)
    wide[key] = numberOf(data, at)
    at += 8
  }
  return wide
}

async function entryOf(file: ArchiveFile, central: Central, meter: Meter): Promise<RawEntry> {
  const { name, mtime, mtimeNsec, size } = central
  const bits = central.isUnix ? central.attributes >>> 16 : 0
  const kind = kindOf(bits, name)
  const mode = bits === 0 ? (kind === 'directory' ? 0o755 : 0o644) : bits & 0o7777
  const entry = { path: name, kind, mode, mtime, mtimeNsec, target: '' }
  const contents = contentsOf(file, central, meter)
  if (kind === 'file') return { ...entry, size, contents }
  if (kind !== 'symlink') return { ...entry, size: 0, contents: nothing() }
  if (size > MAX_TARGET_BYTES) throw new ArchiveError('damaged', 'A link with a target that is too long', name)
  const target: Buffer[] = []
  for await (const chunk of contents) target.push(chunk)
  return { ...entry, size: 0, target: Buffer.concat(target).toString('latin1'), contents: nothing() }
}

// No object: Biome 2.6.8 rewrites octal numbers that are keys to others.
const KINDS: ReadonlyMap<number, RawEntry['kind']> = new Map([
  [0o010000, 'fifo'],
  [0o020000, 'device'],
  [0o040000, 'directory'],
  [0o060000, 'device'],
  [0o100000, 'file'],
  [0o120000, 'symlink'],
  [0o140000, 'socket'],
])

function kindOf(bits: number, name: ByteString): RawEntry['kind'] {
  const kind = KINDS.get(bits & 0o170000)
  if (kind === undefined || kind === 'file') return name.endsWith('/') ? 'directory' : 'file'
  return kind
}

async function* contentsOf(file: ArchiveFile, central: Central, meter: Meter): AsyncGenerator<Buffer> {
  const { name, flags, method, offset, compressed, size } = central
  if ((flags & FLAG_ENCRYPTED) !== 0) throw new ArchiveError('unsupported', 'An entry that is encrypted', name)
  if (method !== STORED && method !== DEFLATED) {
    throw new ArchiveError('unsupported', `An entry that is compressed by method ${method}`, name)
  }
  const head = await readAt(file, offset, 30)
  if (head.readUInt32LE(0) !== LOCAL_HEADER)
    throw new ArchiveError('damaged', 'An entry that is not where it is said', name)
  const nameBytes = head.readUInt16LE(26)
  const start = offset + 30 + nameBytes + head.readUInt16LE(28)
  // Programs that believe the one and programs that believe the other would unpack different trees.
  if ((await readAt(file, offset + 30, nameBytes)).toString('latin1') !== name) {
    throw new ArchiveError('damaged', 'An entry that has two names', name)
  }
  let crc = 0
  let got = 0
  const packed = chunksAt(file, start, compressed)
  for await (const chunk of method === STORED ? packed : inflatedRaw(packed)) {
    got += chunk.length
    if (got > size) throw new ArchiveError('damaged', 'An entry that is larger than it says', name)
    meter.unpacked(chunk.length, name)
    crc = crc32(chunk, crc)
    yield chunk
  }
  if (got !== size || crc !== central.crc)
    throw new ArchiveError('damaged', 'An entry that has other contents than it says', name)
}

async function* nothing(): AsyncGenerator<Buffer> {
  // Only files have contents.
}

/** The root has no entry of its own. */
function rootOf(comment: Buffer): RawEntry | null {
  const said = new RegExp(`^${ROOT_COMMENT} ([0-7]{1,4}) (-?\\d{1,16}) (\\d{1,9})$`).exec(comment.toString('latin1'))
  if (said === null) return null
  const [mode, mtime, mtimeNsec] = [Number.parseInt(said[1] ?? '', 8), Number(said[2]), Number(said[3])]
  return { path: '', kind: 'directory', mode, mtime, mtimeNsec, size: 0, target: '', contents: nothing() }
}

function dosSeconds(stamp: number): number {
  const [date, time] = [stamp >>> 16, stamp & 0xffff]
  const day = Date.UTC((date >> 9) + 1980, ((date >> 5) & 15) - 1, date & 31)
  return Math.floor(day / 1000) + (time >> 11) * 3600 + ((time >> 5) & 63) * 60 + (time & 31) * 2
}

function numberOf(bytes: Buffer, at: number): number {
  const value = bytes.readBigUInt64LE(at)
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value)
  throw new ArchiveError('damaged', 'The zip has a size that none can have')
}
