import {
  INIT_OUT_BYTES,
  InitFlag,
  InitFlag2,
  MAX_IO_BYTES,
  MAX_IO_PAGES,
  OUT_HEADER_BYTES,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
} from './constants.ts'
import { type Incoming, u32 } from './decode.ts'
import { type Outgoing, putU32 } from './encode.ts'

export interface ConnectionOptions {
  /**
   * `asked`: the filesystem hears of every open, can refuse it and hand out passthrough files. `none`: only the
   * permission bits decide at open, so that opening a file that is known costs no round trip; `open`, `create`
   * and `release` are never called. Default `asked`.
   */
  readonly opens?: 'asked' | 'none'
  /**
   * The kernel gathers small writes and keeps sizes and times itself until it sends them. Excludes passthrough.
   * Default false.
   */
  readonly writeback?: boolean
  /** Reads and writes may go to backing files without us. Default true; ignored where `writeback` is set. */
  readonly passthrough?: boolean
  /**
   * Extended attributes. Without them the kernel does not ask for `security.capability` at the first write to each
   * file. Default true.
   */
  readonly xattrs?: boolean
}

export interface Negotiated {
  readonly minor: number
  readonly passthrough: boolean
  /** Requests that were read and not answered can be had again (Linux 6.9). */
  readonly resend: boolean
}

/** Oldest minor that is spoken: that of Linux 5.4, with INIT replies of today's length and MAX_PAGES. */
const OLDEST_MINOR = 31

/**
 * Answers INIT into the body of the reply. `null`: a kernel too old (or of another byte order), answered with the
 * version that we speak.
 *
 * What is left out on purpose:
 * - ATOMIC_O_TRUNC: the kernel truncates by SETATTR, which the filesystem must handle anyway.
 * - POSIX_LOCKS, FLOCK_LOCKS: one kernel sees all users of a mount, so it keeps the locks itself.
 * - POSIX_ACL, SECURITY_CTX, CREATE_SUPP_GROUP: more surface for a sandbox, for nothing that a codebase has.
 * - EXPORT_SUPPORT (and NO_EXPORT_SUPPORT is set): no file handle outlives the path that led to it.
 * - AUTO_INVAL_DATA: EXPLICIT_INVAL_DATA instead; we are the only writer.
 */
export function negotiate(incoming: Incoming, outgoing: Outgoing, options: ConnectionOptions): Negotiated | null {
  const major = u32(incoming, 0)
  const minor = Math.min(u32(incoming, 4), PROTOCOL_MINOR)
  const maxReadahead = u32(incoming, 8)
  const offered = u32(incoming, 12)
  // The second word came with minor 36 and a longer body.
  const offered2 = offered & InitFlag.INIT_EXT ? u32(incoming, 16) : 0
  outgoing.words.fill(0, OUT_HEADER_BYTES >>> 2, (OUT_HEADER_BYTES + INIT_OUT_BYTES) >>> 2)
  putU32(outgoing, 0, PROTOCOL_MAJOR)
  putU32(outgoing, 4, minor)
  if (major !== PROTOCOL_MAJOR || minor < OLDEST_MINOR) return null

  const passthrough =
    options.passthrough !== false && options.writeback !== true && (offered2 & InitFlag2.PASSTHROUGH) !== 0
  const wanted =
    InitFlag.ASYNC_READ |
    InitFlag.BIG_WRITES |
    InitFlag.DO_READDIRPLUS |
    InitFlag.READDIRPLUS_AUTO |
    InitFlag.ASYNC_DIO |
    InitFlag.PARALLEL_DIROPS |
    InitFlag.MAX_PAGES |
    InitFlag.CACHE_SYMLINKS |
    InitFlag.NO_OPENDIR_SUPPORT |
    InitFlag.EXPLICIT_INVAL_DATA |
    InitFlag.HANDLE_KILLPRIV_V2 |
    InitFlag.INIT_EXT |
    (options.opens === 'none' ? InitFlag.NO_OPEN_SUPPORT : 0) |
    (options.writeback === true ? InitFlag.WRITEBACK_CACHE : 0)
  const wanted2 =
    InitFlag2.DIRECT_IO_ALLOW_MMAP |
    InitFlag2.NO_EXPORT_SUPPORT |
    InitFlag2.HAS_RESEND |
    (passthrough ? InitFlag2.PASSTHROUGH : 0)

  putU32(outgoing, 8, Math.min(maxReadahead, MAX_IO_BYTES))
  putU32(outgoing, 12, offered & wanted)
  putU32(outgoing, 16, MAX_BACKGROUND | (CONGESTION_THRESHOLD << 16))
  putU32(outgoing, 20, MAX_IO_BYTES)
  putU32(outgoing, 24, TIME_GRANULARITY_NSEC)
  putU32(outgoing, 28, MAX_IO_PAGES)
  putU32(outgoing, 32, offered2 & wanted2)
  // How deep backing files may be stacked: ours lie on an ordinary filesystem.
  putU32(outgoing, 36, passthrough ? 1 : 0)
  return { minor, passthrough, resend: (offered2 & InitFlag2.HAS_RESEND) !== 0 }
}

/** Read-ahead and write-back requests in flight before the kernel holds back, of one mount. */
const MAX_BACKGROUND = 64
const CONGESTION_THRESHOLD = 48
const TIME_GRANULARITY_NSEC = 1
