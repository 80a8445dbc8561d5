import { IN_HEADER_BYTES, MAX_NAME_BYTES, MAX_TARGET_BYTES, SetattrValid } from './constants.ts'
import { EFBIG, EINVAL, ENAMETOOLONG } from './errno.ts'
import type { ByteString, Caller, NodeId, SetAttr } from './filesystem.ts'

/**
 * One request, decoded where it lies. The same object and buffer serve every request of a thread, so nothing
 * here may be kept beyond the call that handles it.
 *
 * The protocol is in the byte order of the machine and every field lies on a multiple of its size, so words are
 * read through a `Uint32Array`, which is several times cheaper than `Buffer.readUInt32LE`. All machines that
 * Node runs on are little-endian, but for s390x, which is refused at INIT by its major version.
 */
export interface Incoming {
  readonly bytes: Buffer
  readonly words: Uint32Array
  opcode: number
  uniqueLow: number
  uniqueHigh: number
  node: NodeId
  readonly caller: Caller
  /** Where the body ends in `bytes`, extensions left out. */
  end: number
}

export function createIncoming(capacityBytes: number): Incoming {
  // Not from Buffer's pool: the words need their own, aligned memory.
  const bytes = Buffer.allocUnsafeSlow(capacityBytes)
  return {
    bytes,
    words: new Uint32Array(bytes.buffer, bytes.byteOffset, capacityBytes >>> 2),
    opcode: 0,
    uniqueLow: 0,
    uniqueHigh: 0,
    node: 0,
    caller: { uid: 0, gid: 0, pid: 0 },
    end: 0,
  }
}

/** False: so malformed that not even an error can be sent. `receivedBytes` is what `bytes` holds. */
export function decodeHeader(incoming: Incoming, receivedBytes: number): boolean {
  const words = incoming.words
  if (receivedBytes < IN_HEADER_BYTES || words[0] !== receivedBytes) return false
  const nodeHigh = words[5] as number
  const extensionBytes = ((words[9] as number) & 0xffff) * 8
  if (nodeHigh > 0x1fffff || extensionBytes > receivedBytes - IN_HEADER_BYTES) return false
  incoming.opcode = words[1] as number
  incoming.uniqueLow = words[2] as number
  incoming.uniqueHigh = words[3] as number
  incoming.node = (words[4] as number) + nodeHigh * 2 ** 32
  incoming.caller.uid = words[6] as number
  incoming.caller.gid = words[7] as number
  incoming.caller.pid = words[8] as number
  incoming.end = receivedBytes - extensionBytes
  return true
}

/** A field of the body; `at` counts bytes from its start. The caller has checked that the body is long enough. */
export function u32(incoming: Incoming, at: number): number {
  return incoming.words[(IN_HEADER_BYTES + at) >>> 2] as number
}

/** A node or a count. Over 2^53 - 1: EINVAL, as none such was ever given out. */
export function u64(incoming: Incoming, at: number): number {
  const high = u32(incoming, at + 4)
  if (high > 0x1fffff) throw EINVAL
  return u32(incoming, at) + high * 2 ** 32
}

/** A place in a file, or a size. Negative: EINVAL. Over 2^53 - 1: EFBIG. */
export function fileOffset(incoming: Incoming, at: number): number {
  const high = u32(incoming, at + 4)
  if (high > 0x7fffffff) throw EINVAL
  if (high > 0x1fffff) throw EFBIG
  return u32(incoming, at) + high * 2 ** 32
}

/** How much is wanted: more than can be named is as much as can be named. */
export function lengthWanted(incoming: Incoming, at: number): number {
  return Math.min(u32(incoming, at) + u32(incoming, at + 4) * 2 ** 32, Number.MAX_SAFE_INTEGER)
}

/** Where the body's part after `at` bytes of fixed fields starts in `bytes`. */
export function bodyStart(at: number): number {
  return IN_HEADER_BYTES + at
}

/** Where the string that starts at `start` ends in `bytes`: its NUL. EINVAL if it has none. */
export function stringEnd(incoming: Incoming, start: number): number {
  const bytes = incoming.bytes
  for (let at = start; at < incoming.end; at++) if (bytes[at] === 0) return at
  throw EINVAL
}

/**
 * The name of a directory entry. The kernel never sends an empty one, `.`, `..` or one with a slash; a guest that
 * speaks the protocol over a stream might, and each would be a way out of the tree: EINVAL.
 */
export function entryName(incoming: Incoming, start: number, end: number): ByteString {
  if (end - start > MAX_NAME_BYTES) throw ENAMETOOLONG
  const name = incoming.bytes.toString('latin1', start, end)
  if (name === '' || name === '.' || name === '..' || name.includes('/')) throw EINVAL
  return name
}

export function xattrName(incoming: Incoming, start: number, end: number): ByteString {
  if (end - start > MAX_NAME_BYTES) throw ENAMETOOLONG
  if (end === start) throw EINVAL
  return incoming.bytes.toString('latin1', start, end)
}

export function linkTarget(incoming: Incoming, start: number, end: number): ByteString {
  if (end - start > MAX_TARGET_BYTES) throw ENAMETOOLONG
  if (end === start) throw EINVAL
  return incoming.bytes.toString('latin1', start, end)
}

export function setattrBody(incoming: Incoming): SetAttr {
  const valid = u32(incoming, 0)
  const set: SetAttr = {}
  if (valid & SetattrValid.MODE) set.mode = u32(incoming, 68) & 0o7777
  if (valid & SetattrValid.UID) set.uid = u32(incoming, 76)
  if (valid & SetattrValid.GID) set.gid = u32(incoming, 80)
  if (valid & SetattrValid.SIZE) set.size = fileOffset(incoming, 16)
  if (valid & SetattrValid.ATIME_NOW) set.atime = 'now'
  else if (valid & SetattrValid.ATIME) set.atime = { sec: seconds(incoming, 32), nsec: nanoseconds(incoming, 56) }
  if (valid & SetattrValid.MTIME_NOW) set.mtime = 'now'
  else if (valid & SetattrValid.MTIME) set.mtime = { sec: seconds(incoming, 40), nsec: nanoseconds(incoming, 60) }
  if (valid & SetattrValid.CTIME) set.ctime = { sec: seconds(incoming, 48), nsec: nanoseconds(incoming, 64) }
  // HANDLE_KILLPRIV_V2 leaves a change of owner to the filesystem without a flag of its own.
  if (valid & (SetattrValid.KILL_SUIDGID | SetattrValid.UID | SetattrValid.GID)) set.killSuidgid = true
  return set
}

/** Signed: files may be older than 1970. */
function seconds(incoming: Incoming, at: number): number {
  const high = u32(incoming, at + 4) | 0
  if (high > 0x1fffff || high < -0x200000) throw EINVAL
  return u32(incoming, at) + high * 2 ** 32
}

function nanoseconds(incoming: Incoming, at: number): number {
  const nsec = u32(incoming, at)
  if (nsec > 999_999_999) throw EINVAL
  return nsec
}
