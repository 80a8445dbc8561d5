import type { ByteString } from '../protocol/filesystem.ts'

/** What a tar archive says of one entry. The contents of a file follow its header, and then `tarPadding`. */
export interface TarEntry {
  readonly kind: 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo'
  /** Names separated by `/`, without a leading slash; empty is the root directory. */
  readonly path: ByteString
  /** Bytes of a file; 0 for the others. */
  readonly size: number
  /** Of links, and of these only. A hard link's is the path of an entry that came earlier in the archive. */
  readonly target?: ByteString
  /** Permission bits; others are ignored. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Seconds since 1970; may be negative. */
  readonly mtime: number
  /** 0 to 999,999,999, forward from `mtime`. Where `mtime` is negative, only we read it again. */
  readonly mtimeNsec: number
}

/**
 * The blocks that introduce an entry. The same entry gives the same bytes always.
 *
 * The header is POSIX ustar; what it has no room for is said in the way that GNU tar, libarchive, Go and Python
 * all read (docs/adr/0010-tar-encoder.md): long names and targets in GNU records, for only these take any
 * bytes; numbers too large, or negative, in base 256; parts of a second (since 1970) in a pax record.
 *
 * Throws a `RangeError` that names the field where an entry cannot exist.
 */
export function tarHeader(entry: TarEntry): Buffer {
  check(entry)
  const { mode, uid, gid, size, mtime, mtimeNsec } = entry
  const name = storedName(entry)
  const target = storedTarget(entry)
  const blocks: Buffer[] = []
  // libarchive takes the fraction of a time before 1970 for a later one, so such times keep whole seconds only.
  if (mtimeNsec !== 0 && mtime >= 0) {
    const record = paxRecord('mtime', `${mtime}.${String(mtimeNsec).padStart(9, '0')}`)
    blocks.push(...extension('x', 'PaxHeaders/mtime', record))
  } else if (mtimeNsec !== 0) {
    // In a record of our own, which others pass over, so that what we read again is the same.
    const record = paxRecord(EXACT_TIME_KEY, `${mtime} ${mtimeNsec}`)
    blocks.push(...extension('x', 'PaxHeaders/mtime', record))
  }
  if (target.length > MAX_FIELD_NAME) blocks.push(...extension('K', GNU_LONG_NAME, `${target}\0`))
  if (name.length > MAX_FIELD_NAME) blocks.push(...extension('L', GNU_LONG_NAME, `${name}\0`))
  blocks.push(headerBlock({ name, type: TYPE_FLAGS[entry.kind], mode: mode & 0o7777, uid, gid, size, mtime, target }))
  return Buffer.concat(blocks)
}

/** The zeros that fill up the last block of a file's contents. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES)
}

/** Two empty blocks. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK_BYTES)
}

/** Whole seconds since 1970, which may be negative, and nanoseconds forward from there. */
export const EXACT_TIME_KEY = 'CROFT.mtime'

const BLOCK_BYTES = 512
const MAX_FIELD_NAME = 100
/** Readers know these records by their type; this is the name that GNU tar gives them. */
const GNU_LONG_NAME = '././@LongLink'

const TYPE_FLAGS = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  directory: '5',
  fifo: '6',
} as const

function check(entry: TarEntry): void {
  checkBytes('path', entry.path)
  if (entry.path.startsWith('/')) throw new RangeError('path: it begins with a /')
  if (entry.path === '' && entry.kind !== 'directory') throw new RangeError('path: only a directory can be the root')
  const isLink = entry.kind === 'symlink' || entry.kind === 'hardlink'
  if (isLink === (entry.target === undefined)) throw new RangeError('target: links have one, and nothing else has')
  if (entry.target === '') throw new RangeError('target: it is empty')
  checkBytes('target', entry.target ?? '')
  checkNumber('size', entry.size, 0, entry.kind === 'file' ? Number.MAX_SAFE_INTEGER : 0)
  checkNumber('uid', entry.uid, 0, MAX_ID)
  checkNumber('gid', entry.gid, 0, MAX_ID)
  checkNumber('mtime', entry.mtime, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
  checkNumber('mtimeNsec', entry.mtimeNsec, 0, 999_999_999)
}

const MAX_ID = 2 ** 32 - 1

// A NUL would end the name early, and a code unit over 255 would become another byte: either way the entry
// would land at a path that nobody has checked.
function checkBytes(field: string, text: ByteString): void {
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at)
    if (unit === 0 || unit > 0xff) throw new RangeError(`${field}: it has the code unit ${unit} at ${at}`)
  }
}

function checkNumber(field: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${field}: ${value} is no whole number between ${min} and ${max}`)
  }
}

function storedName({ kind, path }: TarEntry): ByteString {
  return kind === 'directory' ? `${relative(path)}/` : relative(path)
}

function storedTarget({ kind, target = '' }: TarEntry): ByteString {
  return kind === 'hardlink' ? relative(target) : target
}

/** BSD tar drops a letter and a colon at the start of a path, for a drive of Windows, and takes what follows. */
function relative(path: ByteString): ByteString {
  if (path === '') return '.'
  return /^[A-Za-z]:/.test(path) ? `./${path}` : path
}

interface HeaderFields {
  readonly name: ByteString
  readonly type: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtime: number
  readonly target: ByteString
}

function extension(type: 'x' | 'K' | 'L', name: string, data: ByteString): Buffer[] {
  const size = data.length
  const header = headerBlock({ name, type, mode: 0o644, uid: 0, gid: 0, size, mtime: 0, target: '' })
  return [header, Buffer.from(data, 'latin1'), tarPadding(size)]
}

/** A name or target over 100 bytes is cut: its record goes before. */
function headerBlock(fields: HeaderFields): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES)
  block.write(fields.name.slice(0, MAX_FIELD_NAME), 0, 'latin1')
  writeNumber(block, 100, 8, fields.mode)
  writeNumber(block, 108, 8, fields.uid)
  writeNumber(block, 116, 8, fields.gid)
  writeNumber(block, 124, 12, fields.size)
  writeNumber(block, 136, 12, fields.mtime)
  block.write(fields.type, 156, 'latin1')
  block.write(fields.target.slice(0, MAX_FIELD_NAME), 157, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  writeNumber(block, 329, 8, 0)
  writeNumber(block, 337, 8, 0)
  writeChecksum(block)
  return block
}

/** Octal digits and a NUL, or where that has no room 0x80 and the number in two's complement. */
function writeNumber(block: Buffer, offset: number, length: number, value: number): void {
  const digits = length - 1
  if (value >= 0 && value < 8 ** digits) {
    block.write(value.toString(8).padStart(digits, '0'), offset, 'latin1')
    return
  }
  block.fill(value < 0 ? 0xff : 0, offset, offset + length)
  block.writeBigInt64BE(BigInt(value), offset + length - 8)
  block[offset] = value < 0 ? 0xff : 0x80
}

/** The sum of all bytes, taken with spaces in the field itself. */
function writeChecksum(block: Buffer): void {
  block.fill(' ', 148, 156)
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, '0')}\0`, 148, 'latin1')
}

/** The length in front counts its own digits. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return `${length}${rest}`
}
