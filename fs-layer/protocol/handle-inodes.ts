import { MAX_XATTR_VALUE_BYTES, Opcode, OUT_HEADER_BYTES } from './constants.ts'
import { bodyStart, setattrBody, stringEnd, u32, xattrName } from './decode.ts'
import { type Outgoing, putAttrOut, putStatfs, putStatx, putU32 } from './encode.ts'
import { EINVAL, ENOSYS, EOPNOTSUPP, ERANGE, Errno } from './errno.ts'
import { type Handler, type HandlerTable, NO_REPLY, type Serving } from './serving.ts'

/** Attributes of inodes and of the whole filesystem. */
export const INODES: HandlerTable = [
  // GETATTR has a body, but nothing in it concerns us: a handle has no state of its own.
  [Opcode.GETATTR, 0, getattr],
  [Opcode.STATX, 0, statx],
  [Opcode.SETATTR, 88, setattr],
  [Opcode.READLINK, 0, readlink],
  [Opcode.STATFS, 0, statfs],
  [Opcode.SETXATTR, 8, ifWanted(setxattr)],
  [Opcode.GETXATTR, 8, ifWanted(getxattr)],
  [Opcode.LISTXATTR, 8, ifWanted(listxattr)],
  [Opcode.REMOVEXATTR, 1, ifWanted(removexattr)],
]

/** ENOSYS turns extended attributes off for the whole mount. */
function ifWanted(handler: Handler): Handler {
  return (serving) => {
    if (serving.options.xattrs === false) throw ENOSYS
    return handler(serving)
  }
}

const E2BIG = Errno.of('E2BIG')

function getattr({ filesystem, incoming, outgoing }: Serving): number {
  return putAttrOut(outgoing, 0, filesystem.getattr(incoming.caller, incoming.node))
}

function statx({ filesystem, incoming, outgoing }: Serving): number {
  return putStatx(outgoing, filesystem.getattr(incoming.caller, incoming.node, true))
}

function setattr({ filesystem, incoming, outgoing, replyAfter }: Serving): number {
  const set = filesystem.setattr(incoming.caller, incoming.node, setattrBody(incoming))
  if (!(set instanceof Promise)) return putAttrOut(outgoing, 0, set)
  replyAfter(set, (later, attr) => putAttrOut(later, 0, attr))
  return NO_REPLY
}

function readlink({ filesystem, incoming, outgoing }: Serving): number {
  const target = filesystem.readlink(incoming.caller, incoming.node)
  return outgoing.bytes.write(target, OUT_HEADER_BYTES, 'latin1')
}

function statfs({ filesystem, incoming, outgoing }: Serving): number {
  return putStatfs(outgoing, 0, filesystem.statfs(incoming.caller))
}

function setxattr({ filesystem, incoming }: Serving): number {
  const size = u32(incoming, 0)
  const flags = u32(incoming, 4)
  const start = bodyStart(8)
  const nameEnd = stringEnd(incoming, start)
  if (size > MAX_XATTR_VALUE_BYTES) throw E2BIG
  if (nameEnd + 1 + size > incoming.end) throw EINVAL
  const value = incoming.bytes.subarray(nameEnd + 1, nameEnd + 1 + size)
  filesystem.setxattr(incoming.caller, incoming.node, xattrName(incoming, start, nameEnd), value, flags)
  return 0
}

function getxattr({ filesystem, incoming, outgoing }: Serving): number {
  const room = u32(incoming, 0)
  const start = bodyStart(8)
  const name = xattrName(incoming, start, stringEnd(incoming, start))
  // ENOSYS would turn the attributes off for the whole mount.
  const value = notForEver(() => filesystem.getxattr(incoming.caller, incoming.node, name))
  if (room === 0) return sizeOnly(outgoing, value.length)
  if (value.length > room) throw ERANGE
  return value.copy(outgoing.bytes, OUT_HEADER_BYTES)
}

function listxattr({ filesystem, incoming, outgoing }: Serving): number {
  const room = u32(incoming, 0)
  const names = notForEver(() => filesystem.listxattr(incoming.caller, incoming.node))
  const list = names.map((name) => `${name}\0`).join('')
  if (room === 0) return sizeOnly(outgoing, list.length)
  if (list.length > room) throw ERANGE
  return outgoing.bytes.write(list, OUT_HEADER_BYTES, 'latin1')
}

function removexattr({ filesystem, incoming }: Serving): number {
  const start = bodyStart(0)
  filesystem.removexattr(incoming.caller, incoming.node, xattrName(incoming, start, stringEnd(incoming, start)))
  return 0
}

function sizeOnly(outgoing: Outgoing, size: number): number {
  putU32(outgoing, 0, size)
  putU32(outgoing, 4, 0)
  return 8
}

function notForEver<T>(call: () => T): T {
  try {
    return call()
  } catch (thrown) {
    throw thrown === ENOSYS ? EOPNOTSUPP : thrown
  }
}
