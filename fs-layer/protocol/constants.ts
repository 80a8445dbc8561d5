/**
 * The numbers of the FUSE kernel protocol, version 7 (include/uapi/linux/fuse.h of Linux). Only those that are
 * used. Sizes and offsets are bytes.
 */

export const PROTOCOL_MAJOR = 7
/** The newest minor whose messages are known here; the kernel is told the smaller of this and its own. */
export const PROTOCOL_MINOR = 45

export const IN_HEADER_BYTES = 40
export const OUT_HEADER_BYTES = 16
const ATTR_BYTES = 88
export const ENTRY_OUT_BYTES = 40 + ATTR_BYTES
export const ATTR_OUT_BYTES = 16 + ATTR_BYTES
export const OPEN_OUT_BYTES = 16
export const STATX_OUT_BYTES = 32 + 256
export const INIT_OUT_BYTES = 64
export const STATFS_OUT_BYTES = 80
/** Before the name; each entry is padded to 8. */
export const DIRENT_BYTES = 24

/** One WRITE or READ at most: 256 pages, the most that a kernel takes by default. */
export const MAX_IO_BYTES = 1 << 20
export const MAX_IO_PAGES = 256
/** What a buffer for requests must hold: the kernel refuses to fill a smaller one. */
export const REQUEST_BYTES = MAX_IO_BYTES + 4096
export const REPLY_BYTES = MAX_IO_BYTES + 4096

export const MAX_NAME_BYTES = 255
/** PATH_MAX without its NUL. */
export const MAX_TARGET_BYTES = 4095
export const MAX_XATTR_VALUE_BYTES = 65536

export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
  COPY_FILE_RANGE_64: 53,
} as const

/** One more than the highest opcode that is counted and dispatched. */
export const OPCODES = 64

/** INIT flags: the first word. */
export const InitFlag = {
  ASYNC_READ: 1 << 0,
  BIG_WRITES: 1 << 5,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  ASYNC_DIO: 1 << 15,
  WRITEBACK_CACHE: 1 << 16,
  NO_OPEN_SUPPORT: 1 << 17,
  PARALLEL_DIROPS: 1 << 18,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  NO_OPENDIR_SUPPORT: 1 << 24,
  EXPLICIT_INVAL_DATA: 1 << 25,
  HANDLE_KILLPRIV_V2: 1 << 28,
  INIT_EXT: 1 << 30,
} as const

/** INIT flags: the second word, sent where INIT_EXT is set. */
export const InitFlag2 = {
  DIRECT_IO_ALLOW_MMAP: 1 << 4,
  PASSTHROUGH: 1 << 5,
  NO_EXPORT_SUPPORT: 1 << 6,
  HAS_RESEND: 1 << 7,
} as const

/** SETATTR: which fields are meant. */
export const SetattrValid = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const

/** Flags of the reply to OPEN. */
export const OpenFlag = {
  DIRECT_IO: 1 << 0,
  KEEP_CACHE: 1 << 1,
  PASSTHROUGH: 1 << 7,
} as const

export const WRITE_CACHE = 1 << 0
export const WRITE_KILL_SUIDGID = 1 << 2
export const FSYNC_DATA_ONLY = 1 << 0

export const NOTIFY_INVAL_INODE = 2
export const NOTIFY_INVAL_ENTRY = 3
export const NOTIFY_STORE = 4
export const NOTIFY_RETRIEVE = 5
export const NOTIFY_RESEND = 7
export const NOTIFY_PRUNE = 9
/** The minor of the protocol that brought it (Linux 6.18). */
export const NOTIFY_PRUNE_MINOR = 45

/** In the upper word of a request's number: the kernel has given it out before (NOTIFY_RESEND). */
export const UNIQUE_RESENT = 0x80000000
