import { isUtf8 } from 'node:buffer'
import type { TreeEntry } from '../store/objects.ts'

/** What PKWARE's APPNOTE calls these; the numbers of records, of extra fields and of bits in them. */
export const LOCAL_HEADER = 0x04034b50
const DATA_DESCRIPTOR = 0x08074b50
export const CENTRAL_HEADER = 0x02014b50
export const ZIP64_END = 0x06064b50
export const ZIP64_LOCATOR = 0x07064b50
export const END = 0x06054b50
export const EXTRA_ZIP64 = 0x0001
export const EXTRA_UNIX_TIME = 0x5455
/** Ours, for what the others have no room: seconds (i64) and nanoseconds (u32). */
export const EXTRA_EXACT_TIME = 0x6643
const FLAG_DESCRIPTOR = 0x0008
const FLAG_UTF8 = 0x0800
export const STORED = 0
export const DEFLATED = 8

/** A comment of the archive, for the root directory has no entry: this, then its mode in octal, seconds, nanoseconds. */
export const ROOT_COMMENT = 'croft root'

const VERSION_20 = 20
const VERSION_45 = 45
const MADE_ON_UNIX = 3 << 8
const MAX_U32 = 0xffffffff
const MAX_U16 = 0xffff
/** From here on sizes get 64 bits: what does not become smaller by deflate becomes a little larger. */
const LARGE_BYTES = 0xf0000000

export interface ZipEntry {
  readonly name: Buffer
  readonly entry: TreeEntry
  readonly method: number
  /** Known when the header is written; otherwise they follow the contents. */
  readonly known?: { readonly crc: number; readonly compressed: number }
  readonly size: number
}

export interface Written {
  readonly crc: number
  readonly compressed: number
  readonly offset: number
}

function isLarge({ size }: ZipEntry): boolean {
  return size >= LARGE_BYTES
}

export function localHeader(item: ZipEntry): Buffer {
  const { name, method, known, size } = item
  const large = isLarge(item)
  const extra = Buffer.concat([...(large ? [field(EXTRA_ZIP64, u64(0, 0))] : []), timeFields(item.entry)])
  const header = Buffer.alloc(30)
  header.writeUInt32LE(LOCAL_HEADER, 0)
  header.writeUInt16LE(large ? VERSION_45 : VERSION_20, 4)
  header.writeUInt16LE(flagsOf(item), 6)
  header.writeUInt16LE(method, 8)
  header.writeUInt32LE(dosTime(item.entry.mtime), 10)
  header.writeUInt32LE(known?.crc ?? 0, 14)
  header.writeUInt32LE(large ? MAX_U32 : (known?.compressed ?? 0), 18)
  header.writeUInt32LE(large ? MAX_U32 : known === undefined ? 0 : size, 22)
  header.writeUInt16LE(name.length, 26)
  header.writeUInt16LE(extra.length, 28)
  return Buffer.concat([header, name, extra])
}

export function dataDescriptor(item: ZipEntry, { crc, compressed }: Omit<Written, 'offset'>): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32LE(DATA_DESCRIPTOR, 0)
  head.writeUInt32LE(crc, 4)
  if (isLarge(item)) return Buffer.concat([head, u64(compressed, item.size)])
  const sizes = Buffer.alloc(8)
  sizes.writeUInt32LE(compressed, 0)
  sizes.writeUInt32LE(item.size, 4)
  return Buffer.concat([head, sizes])
}

export function centralHeader(item: ZipEntry, { crc, compressed, offset }: Written): Buffer {
  const { name, entry, method, size } = item
  const large = isLarge(item)
  const far = offset >= MAX_U32
  const wide = [...(large ? [size, compressed] : []), ...(far ? [offset] : [])]
  const extra = Buffer.concat([...(wide.length > 0 ? [field(EXTRA_ZIP64, u64(...wide))] : []), timeFields(entry)])
  const header = Buffer.alloc(46)
  header.writeUInt32LE(CENTRAL_HEADER, 0)
  header.writeUInt16LE(MADE_ON_UNIX | (wide.length > 0 ? VERSION_45 : VERSION_20), 4)
  header.writeUInt16LE(wide.length > 0 ? VERSION_45 : VERSION_20, 6)
  header.writeUInt16LE(flagsOf(item), 8)
  header.writeUInt16LE(method, 10)
  header.writeUInt32LE(dosTime(entry.mtime), 12)
  header.writeUInt32LE(crc, 16)
  header.writeUInt32LE(large ? MAX_U32 : compressed, 20)
  header.writeUInt32LE(large ? MAX_U32 : size, 24)
  header.writeUInt16LE(name.length, 28)
  header.writeUInt16LE(extra.length, 30)
  header.writeUInt32LE((((TYPE_BITS[entry.kind] | entry.mode) << 16) | DOS_BITS[entry.kind]) >>> 0, 38)
  header.writeUInt32LE(far ? MAX_U32 : offset, 42)
  return Buffer.concat([header, name, extra])
}

/** What comes last: how many entries there are, and where their headers are. */
export function zipEnd(entries: number, at: number, bytes: number, comment: Buffer): Buffer {
  const wide = entries >= MAX_U16 || at >= MAX_U32 || bytes >= MAX_U32
  const end = Buffer.alloc(22)
  end.writeUInt32LE(END, 0)
  end.writeUInt16LE(wide ? MAX_U16 : entries, 8)
  end.writeUInt16LE(wide ? MAX_U16 : entries, 10)
  end.writeUInt32LE(wide ? MAX_U32 : bytes, 12)
  end.writeUInt32LE(wide ? MAX_U32 : at, 16)
  end.writeUInt16LE(comment.length, 20)
  if (!wide) return Buffer.concat([end, comment])
  const head = Buffer.alloc(24)
  head.writeUInt32LE(ZIP64_END, 0)
  head.writeBigUInt64LE(44n, 4)
  head.writeUInt16LE(MADE_ON_UNIX | VERSION_45, 12)
  head.writeUInt16LE(VERSION_45, 14)
  const locator = Buffer.alloc(20)
  locator.writeUInt32LE(ZIP64_LOCATOR, 0)
  locator.writeBigUInt64LE(BigInt(at + bytes), 8)
  locator.writeUInt32LE(1, 16)
  return Buffer.concat([head, u64(entries, entries, bytes, at), locator, end, comment])
}

const TYPE_BITS = { file: 0o100000, directory: 0o040000, symlink: 0o120000 } as const
const DOS_BITS = { file: 0, directory: 0x10, symlink: 0 } as const

function flagsOf({ name, known }: ZipEntry): number {
  const plain = name.every((byte) => byte < 0x80)
  return (known === undefined ? FLAG_DESCRIPTOR : 0) | (!plain && isUtf8(name) ? FLAG_UTF8 : 0)
}

function timeFields({ mtime, mtimeNsec }: TreeEntry): Buffer {
  const isShort = mtime >= -(2 ** 31) && mtime < 2 ** 31
  const fields: Buffer[] = []
  if (isShort) {
    const data = Buffer.alloc(5)
    data.writeUInt8(1, 0)
    data.writeInt32LE(mtime, 1)
    fields.push(field(EXTRA_UNIX_TIME, data))
  }
  if (!isShort || mtimeNsec !== 0) {
    const data = Buffer.alloc(12)
    data.writeBigInt64LE(BigInt(mtime), 0)
    data.writeUInt32LE(mtimeNsec, 8)
    fields.push(field(EXTRA_EXACT_TIME, data))
  }
  return Buffer.concat(fields)
}

/** Of UTC, for the zone of a machine is nothing that the same files should differ by; from 1980 to 2107. */
function dosTime(seconds: number): number {
  const at = new Date(Math.min(Math.max(seconds, DOS_FIRST), DOS_LAST) * 1000)
  const time = (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1)
  const date = ((at.getUTCFullYear() - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate()
  return ((date << 16) | time) >>> 0
}

const DOS_FIRST = Date.UTC(1980, 0, 1) / 1000
const DOS_LAST = Date.UTC(2107, 11, 31, 23, 59, 58) / 1000

function field(id: number, data: Buffer): Buffer {
  const head = Buffer.alloc(4)
  head.writeUInt16LE(id, 0)
  head.writeUInt16LE(data.length, 2)
  return Buffer.concat([head, data])
}

function u64(...values: readonly number[]): Buffer {
  const data = Buffer.alloc(values.length * 8)
  for (const [index, value] of values.entries()) data.writeBigUInt64LE(BigInt(value), index * 8)
  return data
}
