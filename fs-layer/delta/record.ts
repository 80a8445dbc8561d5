import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import type { TreeEntry } from '../store/objects.ts'
import { DeltaError } from './delta-error.ts'
import { IN_INDEX, Inode, type Place } from './inode.ts'

/**
 * The delta's keys and values (docs/spec/delta.md). Numbers are big-endian so that keys sort by them.
 *
 *   m                     meta
 *   i <node u64>          inode
 *   d <parent u64> <name> dentry
 *   c <node u64>          contents of a small file
 */
export const FORMAT_VERSION = 3
/**
 * 1 had no birth times; its records are read as they are and written anew when they change. 2 had no log of syncs beside
 * the index.
 */
const OLDEST_VERSION = 1

const INODE = 0x69
const DENTRY = 0x64
const CONTENT = 0x63
export const META_KEY = Buffer.from('m')

/** A name in a directory: a node, or a whiteout where `node` is 0. */
export interface Dentry {
  readonly name: ByteString
  readonly node: NodeId
  /** Order of making within its directory; what readdir's cookies are made of. */
  readonly seq: number
  /**
   * Directories of the base or the delta that stood at this name, were removed by the sandbox as far as it
   * could see them, and still hold entries that it could not see.
   */
  readonly shadows: readonly NodeId[]
}

export interface Meta {
  readonly version: number
  /** Root hash, hex. */
  readonly base: string
  readonly nextNode: NodeId
  /** Of the batch that holds this record: one more than of the one before. 0 in deltas that had no numbers yet. */
  readonly batch: number
  /** Batches up to this one were durable by then. */
  readonly synced: number
  /** The log of syncs that may have later changes; '' for none. */
  readonly log: string
}

export type Key =
  | { kind: 'meta' }
  | { kind: 'inode'; node: NodeId }
  | { kind: 'dentry'; parent: NodeId; name: ByteString }
  | { kind: 'content'; node: NodeId }

export function inodeKey(node: NodeId): Buffer {
  return nodeKey(INODE, node)
}

export function contentKey(node: NodeId): Buffer {
  return nodeKey(CONTENT, node)
}

export function dentryKey(parent: NodeId, name: ByteString): Buffer {
  const key = Buffer.allocUnsafe(9 + name.length)
  key[0] = DENTRY
  putU64(key, 1, parent)
  key.write(name, 9, 'latin1')
  return key
}

export function parseKey(key: Buffer): Key {
  switch (key[0]) {
    case META_KEY[0]:
      return { kind: 'meta' }
    case INODE:
      return { kind: 'inode', node: getU64(key, 1) }
    case CONTENT:
      return { kind: 'content', node: getU64(key, 1) }
    case DENTRY:
      return { kind: 'dentry', parent: getU64(key, 1), name: key.toString('latin1', 9) }
    default:
      throw new RangeError(`delta: a key of unknown kind ${key[0]}`)
  }
}

export function encodeMeta(meta: Meta): Buffer {
  return Buffer.from(JSON.stringify(meta))
}

export function decodeMeta(value: Buffer): Meta {
  const meta = JSON.parse(value.toString()) as Meta
  if (meta.version < OLDEST_VERSION || meta.version > FORMAT_VERSION) {
    const versions = `format ${meta.version}, this Croft reads ${OLDEST_VERSION} to ${FORMAT_VERSION}`
    throw new DeltaError('format', `The delta was written by another version of Croft (${versions}); use that version`)
  }
  return { ...meta, batch: meta.batch ?? 0, synced: meta.synced ?? 0, log: meta.log ?? '' }
}

export function encodeDentry(dentry: Dentry): Buffer {
  const value = Buffer.allocUnsafe(16 + 8 * dentry.shadows.length)
  putU64(value, 0, dentry.node)
  putU64(value, 8, dentry.seq)
  dentry.shadows.forEach((node, index) => putU64(value, 16 + 8 * index, node))
  return value
}

export function decodeDentry(name: ByteString, value: Buffer): Dentry {
  const shadows: NodeId[] = []
  for (let at = 16; at < value.length; at += 8) shadows.push(getU64(value, at))
  return { name, node: getU64(value, 0), seq: getU64(value, 8), shadows }
}

/** Beside the place, in its byte. */
const LEFT_BASE = 0x80
const HAS_BTIME = 0x40
const SPARSE = 0x20
const PLACE = 0x0f
const FIXED = 4 + 4 + 4 + 8 + 3 * 12 + 1

/** The birth time, the link target and the extended attributes follow the fixed part, the last two after their length. */
export function encodeInode(inode: Inode): Buffer {
  let length = FIXED + 12 + 4 + inode.target.length + 4
  if (inode.xattrs) for (const [name, value] of inode.xattrs) length += 8 + name.length + value.length
  const value = Buffer.allocUnsafe(length)
  let at = value.writeUInt32BE(inode.mode, 0)
  at = value.writeUInt32BE(inode.uid, at)
  at = value.writeUInt32BE(inode.gid, at)
  at = putU64(value, at, inode.size)
  at = putTime(value, at, inode.atime, inode.atimeNsec)
  at = putTime(value, at, inode.mtime, inode.mtimeNsec)
  at = putTime(value, at, inode.ctime, inode.ctimeNsec)
  at = value.writeUInt8(flagsOf(inode), at)
  at = putTime(value, at, inode.btime, inode.btimeNsec)
  at = putBytes(value, at, inode.target)
  at = value.writeUInt32BE(inode.xattrs?.size ?? 0, at)
  if (inode.xattrs) {
    for (const [name, data] of inode.xattrs) {
      at = putBytes(value, at, name)
      at = value.writeUInt32BE(data.length, at)
      at += data.copy(value, at)
    }
  }
  return value
}

/** `entry`: what the base has at this number. Names and link count come from the dentries. */
export function decodeInode(node: NodeId, entry: TreeEntry | null, value: Buffer): Inode {
  const inode = new Inode(node, entry)
  inode.inDelta = true
  inode.mode = value.readUInt32BE(0)
  inode.uid = value.readUInt32BE(4)
  inode.gid = value.readUInt32BE(8)
  inode.size = getU64(value, 12)
  inode.atime = getSeconds(value, 20)
  inode.atimeNsec = value.readUInt32BE(28)
  inode.mtime = getSeconds(value, 32)
  inode.mtimeNsec = value.readUInt32BE(40)
  inode.ctime = getSeconds(value, 44)
  inode.ctimeNsec = value.readUInt32BE(52)
  const flags = value.readUInt8(56)
  inode.place = (flags & PLACE) as Place
  inode.leftBase = (flags & LEFT_BASE) !== 0
  inode.sparse = (flags & SPARSE) !== 0
  inode.stored = inode.place === IN_INDEX
  let at = FIXED
  if (flags & HAS_BTIME) {
    inode.btime = getSeconds(value, at)
    inode.btimeNsec = value.readUInt32BE(at + 8)
    at += 12
  } else {
    inode.btime = inode.mtime
    inode.btimeNsec = inode.mtimeNsec
  }
  const targetLength = value.readUInt32BE(at)
  at += 4
  inode.target = value.toString('latin1', at, at + targetLength)
  at += targetLength
  const count = value.readUInt32BE(at)
  at += 4
  for (let n = 0; n < count; n++) {
    const nameLength = value.readUInt32BE(at)
    const name = value.toString('latin1', at + 4, at + 4 + nameLength)
    at += 4 + nameLength
    const dataLength = value.readUInt32BE(at)
    inode.xattrs ??= new Map()
    inode.xattrs.set(name, Buffer.from(value.subarray(at + 4, at + 4 + dataLength)))
    at += 4 + dataLength
  }
  return inode
}

function flagsOf(inode: Inode): number {
  return inode.place | HAS_BTIME | (inode.leftBase ? LEFT_BASE : 0) | (inode.sparse ? SPARSE : 0)
}

function nodeKey(kind: number, node: NodeId): Buffer {
  const key = Buffer.allocUnsafe(9)
  key[0] = kind
  putU64(key, 1, node)
  return key
}

function putU64(into: Buffer, at: number, value: number): number {
  into.writeUInt32BE(Math.floor(value / 2 ** 32), at)
  return into.writeUInt32BE(value % 2 ** 32, at + 4)
}

function getU64(from: Buffer, at: number): number {
  return from.readUInt32BE(at) * 2 ** 32 + from.readUInt32BE(at + 4)
}

/** Times before 1970 have negative seconds. */
function putTime(into: Buffer, at: number, seconds: number, nsec: number): number {
  into.writeInt32BE(Math.floor(seconds / 2 ** 32), at)
  into.writeUInt32BE(seconds - Math.floor(seconds / 2 ** 32) * 2 ** 32, at + 4)
  return into.writeUInt32BE(nsec, at + 8)
}

function getSeconds(from: Buffer, at: number): number {
  return from.readInt32BE(at) * 2 ** 32 + from.readUInt32BE(at + 4)
}

function putBytes(into: Buffer, at: number, bytes: ByteString): number {
  into.writeUInt32BE(bytes.length, at)
  return at + 4 + into.write(bytes, at + 4, 'latin1')
}
