import { attributesFault } from './entry.ts'
import { isHash } from './hash.ts'
import { readInt64, readUint64, writeInt64, writeUint64 } from './int64.ts'
import type { Root } from './objects.ts'
import { StoreError } from './store-error.ts'

/**
 * A root's canonical bytes: `R`, version 1, u16 mode, i64 seconds, u32 nanoseconds, 32 bytes of the tree's
 * hash, u64 inodes, u64 bytes, u64 files.
 */
const ROOT_BYTES = 72

/** @throws {StoreError} `invalid`: a field out of range */
export function encodeRoot(root: Root): Buffer {
  const fault = rootFault(root)
  if (fault !== null) throw new StoreError('invalid', fault)
  const bytes = Buffer.allocUnsafe(ROOT_BYTES)
  bytes[0] = ROOT_TYPE
  bytes[1] = ROOT_VERSION
  bytes.writeUInt16LE(root.mode, 2)
  writeInt64(bytes, root.mtime, 4)
  bytes.writeUInt32LE(root.mtimeNsec, 12)
  bytes.write(root.tree, 16, 32, 'hex')
  writeUint64(bytes, root.inodes, 48)
  writeUint64(bytes, root.bytes, 56)
  writeUint64(bytes, root.files, 64)
  return bytes
}

/** @throws {StoreError} `corrupt`: bytes that `encodeRoot` would not have made */
export function decodeRoot(bytes: Buffer): Root {
  if (bytes.length !== ROOT_BYTES || bytes[0] !== ROOT_TYPE) throw corrupt('no root')
  if (bytes[1] !== ROOT_VERSION) throw corrupt(`a root of version ${bytes[1]}`)
  const root: Root = {
    mode: bytes.readUInt16LE(2),
    mtime: readInt64(bytes, 4),
    mtimeNsec: bytes.readUInt32LE(12),
    tree: bytes.toString('hex', 16, 48),
    inodes: readUint64(bytes, 48),
    bytes: readUint64(bytes, 56),
    files: readUint64(bytes, 64),
  }
  const fault = rootFault(root)
  if (fault !== null) throw corrupt(fault)
  return root
}

const ROOT_TYPE = 0x52
const ROOT_VERSION = 1

function rootFault(root: Root): string | null {
  const fault = attributesFault(root)
  if (fault !== null) return fault
  if (!isHash(root.tree)) return 'A hash that is not 64 hexadecimal digits'
  if (!Number.isSafeInteger(root.inodes) || root.inodes < 1) return 'A number of inodes below 1'
  if (!Number.isSafeInteger(root.bytes) || root.bytes < 0) return 'A number of bytes below 0 or beyond 2^53'
  const countable = Number.isSafeInteger(root.files) && root.files >= 0 && root.files < root.inodes
  return countable ? null : 'A number of files that the inodes do not allow'
}

function corrupt(what: string): StoreError {
  return new StoreError('corrupt', `Not the bytes of a root: ${what}`)
}
