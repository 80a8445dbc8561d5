import type { ByteString } from '../protocol/filesystem.ts'
import { HASH_BYTES, isHash } from './hash.ts'
import { readInt64, readUint64, writeInt64, writeUint64 } from './int64.ts'
import { MAX_BLOB_BYTES, MAX_TARGET_BYTES } from './limits.ts'
import type { TreeEntry } from './objects.ts'
import { nameFault } from './paths.ts'

/**
 * One entry of a tree in its canonical bytes, little-endian (docs/spec/store.md):
 * u8 kind, u8 length of the name, u16 mode, i64 seconds, u32 nanoseconds, the name, and then for a file
 * u64 size and 32 bytes of hash; for a directory 32 bytes of hash, u64 inodes, u64 bytes; for a link u16
 * length and the target.
 */

export const KIND_FILE = 1
const KIND_DIRECTORY = 2
const KIND_SYMLINK = 3

/** Bytes of the longest entry there is. */
export const MAX_ENTRY_BYTES = 16 + 255 + 2 + MAX_TARGET_BYTES

/** What is wrong with an entry, or null. */
export function entryFault(entry: TreeEntry): string | null {
  return nameFault(entry.name) ?? attributesFault(entry) ?? contentFault(entry)
}

/** What is wrong with that which an entry's kind brings, or null. */
export function contentFault(entry: TreeEntry): string | null {
  switch (entry.kind) {
    case 'file':
      if (!isHash(entry.hash)) return 'A hash that is not 64 hexadecimal digits'
      return isCount(entry.size, 0) && entry.size <= MAX_BLOB_BYTES ? null : `A size outside 0 to ${MAX_BLOB_BYTES}`
    case 'directory':
      if (!isHash(entry.hash)) return 'A hash that is not 64 hexadecimal digits'
      if (!isCount(entry.inodes, 1)) return 'A number of inodes below 1'
      return isCount(entry.bytes, 0) ? null : 'A number of bytes below 0 or beyond 2^53'
    case 'symlink':
      return targetFault(entry.target)
  }
}

/** What is wrong with permission bits and a time, or null. */
export function attributesFault(of: { mode: number; mtime: number; mtimeNsec: number }): string | null {
  if (!Number.isInteger(of.mode) || of.mode < 0 || of.mode > 0o7777) return 'A mode outside 07777'
  if (!Number.isSafeInteger(of.mtime)) return 'A modification time that is no whole number of seconds'
  if (!Number.isInteger(of.mtimeNsec) || of.mtimeNsec < 0 || of.mtimeNsec > 999_999_999) {
    return 'Nanoseconds outside 0 to 999999999'
  }
  return null
}

/** What is wrong with a link's target, or null. */
function targetFault(target: ByteString): string | null {
  if (target === '') return 'An empty link target'
  if (target.length > MAX_TARGET_BYTES) return `A link target over ${MAX_TARGET_BYTES} bytes`
  if (target.includes('\0')) return 'A NUL byte in a link target'
  return isByteString(target) ? null : 'A link target that is no byte string'
}

export function entryLength(entry: TreeEntry): number {
  return FIXED_BYTES + entry.name.length + contentLength(entry)
}

/** Writes an entry that has no fault and returns where it ends. */
export function writeEntry(into: Buffer, at: number, entry: TreeEntry): number {
  into[at] = KINDS[entry.kind]
  into[at + 1] = entry.name.length
  into.writeUInt16LE(entry.mode, at + 2)
  writeInt64(into, entry.mtime, at + 4)
  into.writeUInt32LE(entry.mtimeNsec, at + 12)
  into.write(entry.name, at + FIXED_BYTES, entry.name.length, 'latin1')
  const content = at + FIXED_BYTES + entry.name.length
  switch (entry.kind) {
    case 'file':
      writeUint64(into, entry.size, content)
      into.write(entry.hash, content + 8, HASH_BYTES, 'hex')
      break
    case 'directory':
      into.write(entry.hash, content, HASH_BYTES, 'hex')
      writeUint64(into, entry.inodes, content + 32)
      writeUint64(into, entry.bytes, content + 40)
      break
    case 'symlink':
      into.writeUInt16LE(entry.target.length, content)
      into.write(entry.target, content + 2, entry.target.length, 'latin1')
  }
  return content + contentLength(entry)
}

/** Where the entry at `at` ends, or -1 where the bytes end first or are of no known kind. */
export function entryEnd(from: Buffer, at: number): number {
  if (at + FIXED_BYTES > from.length) return -1
  const content = at + FIXED_BYTES + (from[at + 1] ?? 0)
  const end = content + storedContentLength(from, from[at] ?? 0, content)
  return end >= content && end <= from.length ? end : -1
}

/** Reads the entry at `at`, for which `entryEnd` is not -1. Its fields may still have a fault. */
export function readEntry(from: Buffer, at: number): TreeEntry {
  const content = at + FIXED_BYTES + (from[at + 1] ?? 0)
  const name = from.toString('latin1', at + FIXED_BYTES, content)
  const mode = from.readUInt16LE(at + 2)
  const mtime = readInt64(from, at + 4)
  const mtimeNsec = from.readUInt32LE(at + 12)
  switch (from[at]) {
    case KIND_FILE: {
      const size = readUint64(from, content)
      return { kind: 'file', name, mode, mtime, mtimeNsec, size, hash: from.toString('hex', content + 8, content + 40) }
    }
    case KIND_DIRECTORY: {
      const inodes = readUint64(from, content + 32)
      const bytes = readUint64(from, content + 40)
      const hash = from.toString('hex', content, content + 32)
      return { kind: 'directory', name, mode, mtime, mtimeNsec, hash, inodes, bytes }
    }
    default: {
      const target = from.toString('latin1', content + 2, content + 2 + from.readUInt16LE(content))
      return { kind: 'symlink', name, mode, mtime, mtimeNsec, target }
    }
  }
}

const FIXED_BYTES = 16
const KINDS = { file: KIND_FILE, directory: KIND_DIRECTORY, symlink: KIND_SYMLINK } as const

function isCount(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least
}

function isByteString(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0xff) return false
  return true
}

function contentLength(entry: TreeEntry): number {
  if (entry.kind === 'file') return 8 + HASH_BYTES
  return entry.kind === 'directory' ? HASH_BYTES + 16 : 2 + entry.target.length
}

function storedContentLength(from: Buffer, kind: number, content: number): number {
  if (kind === KIND_FILE) return 8 + HASH_BYTES
  if (kind === KIND_DIRECTORY) return HASH_BYTES + 16
  if (kind === KIND_SYMLINK && content + 2 <= from.length) return 2 + from.readUInt16LE(content)
  return Number.NEGATIVE_INFINITY
}
