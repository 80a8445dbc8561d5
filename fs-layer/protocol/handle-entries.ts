import { Opcode, OUT_HEADER_BYTES } from './constants.ts'
import { bodyStart, entryName, linkTarget, stringEnd, u32, u64 } from './decode.ts'
import { direntBytes, type Outgoing, putDirent, putEntry, putNegativeEntry, putNoEntry } from './encode.ts'
import { EINVAL } from './errno.ts'
import type { ByteString, EmitDirent } from './filesystem.ts'
import type { HandlerTable, Serving } from './serving.ts'

/** Names in directories. */
export const ENTRIES: HandlerTable = [
  [Opcode.LOOKUP, 1, lookup],
  [Opcode.SYMLINK, 2, symlink],
  [Opcode.MKNOD, 16, mknod],
  [Opcode.MKDIR, 8, mkdir],
  [Opcode.UNLINK, 1, unlink],
  [Opcode.RMDIR, 1, rmdir],
  [Opcode.RENAME, 8, (serving) => rename(serving, 8, 0)],
  [Opcode.RENAME2, 16, rename2],
  [Opcode.LINK, 8, link],
  [Opcode.READDIR, 24, (serving) => readdir(serving, false)],
  [Opcode.READDIRPLUS, 24, (serving) => readdir(serving, true)],
]

const RENAME_NOREPLACE = 1
const RENAME_EXCHANGE = 2

function lookup(serving: Serving): number {
  const { filesystem, incoming, outgoing } = serving
  const attr = filesystem.lookup(incoming.caller, incoming.node, nameAt(serving, 0))
  return attr === null ? putNegativeEntry(outgoing, 0) : putEntry(outgoing, 0, attr)
}

function symlink(serving: Serving): number {
  const { filesystem, incoming, outgoing } = serving
  const start = bodyStart(0)
  const nameEnd = stringEnd(incoming, start)
  const targetEnd = stringEnd(incoming, nameEnd + 1)
  const name = entryName(incoming, start, nameEnd)
  const target = linkTarget(incoming, nameEnd + 1, targetEnd)
  return putEntry(outgoing, 0, filesystem.symlink(incoming.caller, incoming.node, name, target))
}

// MKNOD, MKDIR and CREATE carry the umask, but without DONT_MASK the kernel has applied it to the mode already.

function mknod(serving: Serving): number {
  const { filesystem, incoming, outgoing } = serving
  const [mode, rdev, name] = [u32(incoming, 0), u32(incoming, 4), nameAt(serving, 16)]
  return putEntry(outgoing, 0, filesystem.mknod(incoming.caller, incoming.node, name, mode, rdev))
}

function mkdir(serving: Serving): number {
  const { filesystem, incoming, outgoing } = serving
  const mode = u32(incoming, 0) & 0o7777
  return putEntry(outgoing, 0, filesystem.mkdir(incoming.caller, incoming.node, nameAt(serving, 8), mode))
}

function unlink(serving: Serving): number {
  const { filesystem, incoming } = serving
  filesystem.unlink(incoming.caller, incoming.node, nameAt(serving, 0))
  return 0
}

function rmdir(serving: Serving): number {
  const { filesystem, incoming } = serving
  filesystem.rmdir(incoming.caller, incoming.node, nameAt(serving, 0))
  return 0
}

function rename2(serving: Serving): number {
  const flags = u32(serving.incoming, 8)
  // RENAME_WHITEOUT makes a device node; nobody but overlayfs asks for it.
  if (flags !== 0 && flags !== RENAME_NOREPLACE && flags !== RENAME_EXCHANGE) throw EINVAL
  return rename(serving, 16, flags)
}

function rename({ filesystem, incoming }: Serving, namesAt: number, flags: number): number {
  const start = bodyStart(namesAt)
  const nameEnd = stringEnd(incoming, start)
  const newNameEnd = stringEnd(incoming, nameEnd + 1)
  const name = entryName(incoming, start, nameEnd)
  const newName = entryName(incoming, nameEnd + 1, newNameEnd)
  filesystem.rename(incoming.caller, incoming.node, name, u64(incoming, 0), newName, flags)
  return 0
}

function link(serving: Serving): number {
  const { filesystem, incoming, outgoing } = serving
  const node = u64(incoming, 0)
  return putEntry(outgoing, 0, filesystem.link(incoming.caller, node, incoming.node, nameAt(serving, 8)))
}

function readdir({ filesystem, incoming, outgoing }: Serving, plus: boolean): number {
  const listing: Listing = {
    outgoing,
    plus,
    used: 0,
    limit: Math.min(u32(incoming, 16), outgoing.bytes.length - OUT_HEADER_BYTES),
  }
  const emit: EmitDirent = (name, node, typeBits, nextOffset, attr) => {
    const needed = direntBytes(name, plus)
    if (listing.used + needed > listing.limit) return false
    if (plus)
      listing.used += attr === null ? putNoEntry(outgoing, listing.used) : putEntry(outgoing, listing.used, attr)
    listing.used += putDirent(outgoing, listing.used, name, node, typeBits, nextOffset)
    return true
  }
  try {
    filesystem.readdir(incoming.caller, incoming.node, u64(incoming, 8), plus, emit)
  } catch (thrown) {
    // Entries already taken hold references that the kernel must hear of; the next call meets the error again.
    if (listing.used === 0) throw thrown
  }
  return listing.used
}

interface Listing {
  readonly outgoing: Outgoing
  readonly plus: boolean
  readonly limit: number
  used: number
}

function nameAt({ incoming }: Serving, at: number): ByteString {
  const start = bodyStart(at)
  return entryName(incoming, start, stringEnd(incoming, start))
}
