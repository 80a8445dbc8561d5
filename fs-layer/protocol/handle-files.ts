import {
  ENTRY_OUT_BYTES,
  FSYNC_DATA_ONLY,
  Opcode,
  OpenFlag,
  OUT_HEADER_BYTES,
  WRITE_CACHE,
  WRITE_KILL_SUIDGID,
} from './constants.ts'
import { bodyStart, entryName, fileOffset, lengthWanted, stringEnd, u32, u64 } from './decode.ts'
import { type Outgoing, putEntry, putOpen, putU32, putU64 } from './encode.ts'
import { EINVAL, ENOSYS } from './errno.ts'
import type { Opened, WriteFlags } from './filesystem.ts'
import { type HandlerTable, NO_REPLY, type Serving } from './serving.ts'

/** Contents of files. Opcodes that are missing here and ought to be: FLUSH and OPENDIR, whose ENOSYS saves a trip. */
export const FILES: HandlerTable = [
  [Opcode.OPEN, 8, open],
  [Opcode.CREATE, 16, create],
  [Opcode.TMPFILE, 16, tmpfile],
  [Opcode.RELEASE, 24, release],
  [Opcode.READ, 40, read],
  [Opcode.WRITE, 40, write],
  [Opcode.FSYNC, 16, fsync],
  [Opcode.FSYNCDIR, 16, fsync],
  [Opcode.FALLOCATE, 32, fallocate],
  [Opcode.LSEEK, 24, lseek],
  [Opcode.COPY_FILE_RANGE, 56, (serving) => copyFileRange(serving, false)],
  [Opcode.COPY_FILE_RANGE_64, 56, (serving) => copyFileRange(serving, true)],
]

const SEEK_DATA = 3
const SEEK_HOLE = 4
/** What one reply of 32 bits can name, as the kernel's own limit for one read or write. */
const MAX_COPY_BYTES = 0x7ffff000

function open(serving: Serving): number {
  const { filesystem, incoming, options } = serving
  if (options.opens === 'none') throw ENOSYS
  return answerOpened(serving, 0, filesystem.open(incoming.caller, incoming.node, u32(incoming, 0)))
}

function create(serving: Serving): number {
  // Also where opens are not asked for: after a MKNOD in its place the kernel would check the new file's mode, and
  // open(2) with O_CREAT, O_RDWR and 0444, which git lives by, would fail.
  const { filesystem, incoming, outgoing } = serving
  const flags = u32(incoming, 0)
  const mode = u32(incoming, 4) & 0o7777
  const start = bodyStart(16)
  const name = entryName(incoming, start, stringEnd(incoming, start))
  const made = filesystem.create(incoming.caller, incoming.node, name, mode, flags)
  putEntry(outgoing, 0, made)
  return answerOpened(serving, ENTRY_OUT_BYTES, made.opened) + ENTRY_OUT_BYTES
}

/** As CREATE, with a name that means nothing. */
function tmpfile(serving: Serving): number {
  const { filesystem, incoming, outgoing } = serving
  const made = filesystem.tmpfile(incoming.caller, incoming.node, u32(incoming, 4) & 0o7777, u32(incoming, 0))
  putEntry(outgoing, 0, made)
  return answerOpened(serving, ENTRY_OUT_BYTES, made.opened) + ENTRY_OUT_BYTES
}

/** The handle that the kernel keeps for us is the backing id, so that RELEASE names it. */
function answerOpened({ outgoing, transport, negotiated }: Serving, at: number, opened: Opened): number {
  const { passthrough } = opened
  if (passthrough !== undefined && negotiated?.passthrough === true) {
    const backingId = transport.acquireBacking(passthrough.key, passthrough.fd)
    if (backingId !== 0) return putOpen(outgoing, at, backingId, OpenFlag.PASSTHROUGH, backingId)
  }
  return putOpen(outgoing, at, 0, CACHE_FLAGS[opened.cache], 0)
}

const CACHE_FLAGS = { keep: OpenFlag.KEEP_CACHE, drop: 0, direct: OpenFlag.DIRECT_IO } as const

function release({ filesystem, incoming, transport }: Serving): number {
  const backingId = u64(incoming, 0)
  if (backingId !== 0) transport.releaseBacking(backingId)
  filesystem.release(incoming.node, u32(incoming, 8))
  return 0
}

function read({ filesystem, incoming, outgoing }: Serving): number {
  const room = outgoing.bytes.length - OUT_HEADER_BYTES
  const size = Math.min(u32(incoming, 16), room)
  return filesystem.read(
    incoming.caller,
    incoming.node,
    fileOffset(incoming, 8),
    size,
    outgoing.bytes,
    OUT_HEADER_BYTES,
  )
}

const writeFlags: WriteFlags = { killSuidgid: false, keepTimes: false }

function write({ filesystem, incoming, outgoing, options, replyAfter }: Serving): number {
  const start = bodyStart(40)
  const size = u32(incoming, 16)
  if (start + size > incoming.end) throw EINVAL
  const flags = u32(incoming, 20)
  writeFlags.killSuidgid = (flags & WRITE_KILL_SUIDGID) !== 0
  writeFlags.keepTimes = options.writeback === true && (flags & WRITE_CACHE) !== 0
  const data = incoming.bytes.subarray(start, start + size)
  const written = filesystem.write(incoming.caller, incoming.node, fileOffset(incoming, 8), data, writeFlags)
  if (typeof written === 'number') return putWritten(outgoing, written)
  replyAfter(written, putWritten)
  return NO_REPLY
}

function putWritten(outgoing: Outgoing, written: number): number {
  putU32(outgoing, 0, written)
  putU32(outgoing, 4, 0)
  return 8
}

function fsync({ filesystem, incoming, replyAfter }: Serving): number {
  const dataOnly = (u32(incoming, 8) & FSYNC_DATA_ONLY) !== 0
  replyAfter(filesystem.fsync(incoming.caller, incoming.node, dataOnly))
  return NO_REPLY
}

function fallocate({ filesystem, incoming, replyAfter }: Serving): number {
  const [offset, length, mode] = [fileOffset(incoming, 8), fileOffset(incoming, 16), u32(incoming, 24)]
  const allocated = filesystem.fallocate(incoming.caller, incoming.node, offset, length, mode)
  if (!(allocated instanceof Promise)) return 0
  replyAfter(allocated)
  return NO_REPLY
}

function lseek({ filesystem, incoming, outgoing, replyAfter }: Serving): number {
  const whence = u32(incoming, 16)
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw EINVAL
  const found = filesystem.lseek(incoming.caller, incoming.node, fileOffset(incoming, 8), whence)
  if (typeof found === 'number') return putFound(outgoing, found)
  replyAfter(found, putFound)
  return NO_REPLY
}

function putFound(outgoing: Outgoing, found: number): number {
  putU64(outgoing, 0, found)
  return 8
}

function copyFileRange({ filesystem, incoming, outgoing }: Serving, wide: boolean): number {
  const copied = filesystem.copyFileRange(
    incoming.caller,
    incoming.node,
    fileOffset(incoming, 8),
    u64(incoming, 16),
    fileOffset(incoming, 32),
    Math.min(lengthWanted(incoming, 40), MAX_COPY_BYTES),
  )
  if (wide) putU64(outgoing, 0, copied)
  else {
    putU32(outgoing, 0, copied)
    putU32(outgoing, 4, 0)
  }
  return 8
}
