import {
  ATTR_OUT_BYTES,
  DIRENT_BYTES,
  ENTRY_OUT_BYTES,
  OPEN_OUT_BYTES,
  OUT_HEADER_BYTES,
  STATFS_OUT_BYTES,
  STATX_OUT_BYTES,
} from './constants.ts'
import type { Attr, ByteString, NodeId, Statfs } from './filesystem.ts'

/**
 * One reply, written where it will be sent from, reused for every request of a thread. Each `put…` writes at a
 * byte of the body (a multiple of 4) and returns the length of what it wrote.
 */
export interface Outgoing {
  readonly bytes: Buffer
  readonly words: Uint32Array
}

export function createOutgoing(capacityBytes: number): Outgoing {
  const bytes = Buffer.allocUnsafeSlow(capacityBytes)
  return { bytes, words: new Uint32Array(bytes.buffer, bytes.byteOffset, capacityBytes >>> 2) }
}

/** `error` is a positive errno, or 0. Returns the length of the whole message. */
export function putHeader(
  { words }: Outgoing,
  bodyBytes: number,
  error: number,
  uniqueLow: number,
  uniqueHigh: number,
): number {
  words[0] = OUT_HEADER_BYTES + bodyBytes
  words[1] = -error
  words[2] = uniqueLow
  words[3] = uniqueHigh
  return OUT_HEADER_BYTES + bodyBytes
}

export function putU32({ words }: Outgoing, at: number, value: number): void {
  words[(OUT_HEADER_BYTES + at) >>> 2] = value
}

/** Signed values too: two's complement falls out of the division. */
export function putU64({ words }: Outgoing, at: number, value: number): void {
  const word = (OUT_HEADER_BYTES + at) >>> 2
  words[word] = value
  words[word + 1] = Math.floor(value / 2 ** 32)
}

/** What LOOKUP and all that make an entry answer. */
export function putEntry(outgoing: Outgoing, at: number, attr: Attr): number {
  const validSec = attr.volatile ? 0 : FOREVER_SEC
  putU64(outgoing, at, attr.node)
  // The generation. Node numbers are never used twice.
  putU64(outgoing, at + 8, 0)
  putU64(outgoing, at + 16, validSec)
  putU64(outgoing, at + 24, validSec)
  putU64(outgoing, at + 32, 0)
  putAttr(outgoing, at + 40, attr)
  return ENTRY_OUT_BYTES
}

/** "There is no such name, and you may remember that." */
export function putNegativeEntry(outgoing: Outgoing, at: number): number {
  const word = (OUT_HEADER_BYTES + at) >>> 2
  outgoing.words.fill(0, word, word + (ENTRY_OUT_BYTES >>> 2))
  putU64(outgoing, at + 16, FOREVER_SEC)
  return ENTRY_OUT_BYTES
}

export function putAttrOut(outgoing: Outgoing, at: number, attr: Attr): number {
  putU64(outgoing, at, attr.volatile ? 0 : FOREVER_SEC)
  putU64(outgoing, at + 8, 0)
  putAttr(outgoing, at + 16, attr)
  return ATTR_OUT_BYTES
}

/** All of an inode that statx(2) tells, the birth time with it. */
export function putStatx(outgoing: Outgoing, attr: Attr): number {
  const word = OUT_HEADER_BYTES >>> 2
  outgoing.words.fill(0, word, word + (STATX_OUT_BYTES >>> 2))
  putU64(outgoing, 0, attr.volatile ? 0 : FOREVER_SEC)
  const at = 32
  putU32(outgoing, at, STATX_BASIC_STATS | STATX_BTIME)
  putU32(outgoing, at + 4, BLOCK_BYTES)
  putU32(outgoing, at + 16, attr.nlink)
  putU32(outgoing, at + 20, attr.uid)
  putU32(outgoing, at + 24, attr.gid)
  putU32(outgoing, at + 28, attr.mode)
  putU64(outgoing, at + 32, attr.node)
  putU64(outgoing, at + 40, attr.size)
  putU64(outgoing, at + 48, attr.blocks)
  putStatxTime(outgoing, at + 64, attr.atime, attr.atimeNsec)
  putStatxTime(outgoing, at + 80, attr.btime, attr.btimeNsec)
  putStatxTime(outgoing, at + 96, attr.ctime, attr.ctimeNsec)
  putStatxTime(outgoing, at + 112, attr.mtime, attr.mtimeNsec)
  return STATX_OUT_BYTES
}

/** `backingId` 0: none. `handle` comes back with RELEASE. */
export function putOpen(outgoing: Outgoing, at: number, handle: number, flags: number, backingId: number): number {
  putU64(outgoing, at, handle)
  putU32(outgoing, at + 8, flags)
  putU32(outgoing, at + 12, backingId)
  return OPEN_OUT_BYTES
}

export function putStatfs(outgoing: Outgoing, at: number, statfs: Statfs): number {
  const word = (OUT_HEADER_BYTES + at) >>> 2
  outgoing.words.fill(0, word, word + (STATFS_OUT_BYTES >>> 2))
  putU64(outgoing, at, statfs.blocks)
  putU64(outgoing, at + 8, statfs.blocksFree)
  putU64(outgoing, at + 16, statfs.blocksFree)
  putU64(outgoing, at + 24, statfs.files)
  putU64(outgoing, at + 32, statfs.filesFree)
  putU32(outgoing, at + 40, statfs.blockSize)
  putU32(outgoing, at + 44, statfs.nameMax)
  putU32(outgoing, at + 48, statfs.blockSize)
  return STATFS_OUT_BYTES
}

/** The length of a directory entry on the wire. */
export function direntBytes(name: ByteString, plus: boolean): number {
  return (plus ? ENTRY_OUT_BYTES : 0) + ((DIRENT_BYTES + name.length + 7) & ~7)
}

export function putDirent(
  outgoing: Outgoing,
  at: number,
  name: ByteString,
  node: NodeId,
  typeBits: number,
  nextOffset: number,
): number {
  putU64(outgoing, at, node)
  putU64(outgoing, at + 8, nextOffset)
  putU32(outgoing, at + 16, name.length)
  putU32(outgoing, at + 20, typeBits)
  const start = OUT_HEADER_BYTES + at + DIRENT_BYTES
  const length = direntBytes(name, false)
  outgoing.bytes.write(name, start, 'latin1')
  // The padding goes to the kernel too: nothing of an earlier reply may be in it.
  outgoing.bytes.fill(0, start + name.length, OUT_HEADER_BYTES + at + length)
  return length
}

/** READDIRPLUS without attributes: the kernel takes a zero node to mean "ask when you need it". */
export function putNoEntry(outgoing: Outgoing, at: number): number {
  const word = (OUT_HEADER_BYTES + at) >>> 2
  outgoing.words.fill(0, word, word + (ENTRY_OUT_BYTES >>> 2))
  return ENTRY_OUT_BYTES
}

/** About 31 years: we are the only writer, and we tell the kernel of what it did not do itself. */
const FOREVER_SEC = 1_000_000_000
const BLOCK_BYTES = 4096
/** statx(2): what the fields of a reply are. */
const STATX_BASIC_STATS = 0x7ff
const STATX_BTIME = 0x800

function putStatxTime(outgoing: Outgoing, at: number, seconds: number, nsec: number): void {
  putU64(outgoing, at, seconds)
  putU32(outgoing, at + 8, nsec)
}

function putAttr(outgoing: Outgoing, at: number, attr: Attr): void {
  putU64(outgoing, at, attr.node)
  putU64(outgoing, at + 8, attr.size)
  putU64(outgoing, at + 16, attr.blocks)
  putU64(outgoing, at + 24, attr.atime)
  putU64(outgoing, at + 32, attr.mtime)
  putU64(outgoing, at + 40, attr.ctime)
  putU32(outgoing, at + 48, attr.atimeNsec)
  putU32(outgoing, at + 52, attr.mtimeNsec)
  putU32(outgoing, at + 56, attr.ctimeNsec)
  putU32(outgoing, at + 60, attr.mode)
  putU32(outgoing, at + 64, attr.nlink)
  putU32(outgoing, at + 68, attr.uid)
  putU32(outgoing, at + 72, attr.gid)
  putU32(outgoing, at + 76, attr.rdev)
  putU32(outgoing, at + 80, BLOCK_BYTES)
  putU32(outgoing, at + 84, 0)
}
