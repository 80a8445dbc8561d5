/**
 * What a device asks of a filesystem: the calls of the FUSE protocol with their fields decoded, and nothing of
 * how they travelled. `View` implements it; `serve.ts` is the one place that calls it and replies.
 *
 * Names and link targets are byte strings: JavaScript strings in which each code unit is one byte (latin1), so
 * that any name a Linux program can make goes through unharmed and compares by its bytes.
 *
 * Every call answers at once or throws an `Errno`, but for those that return a promise: they wait for the disk
 * and are answered out of order.
 *
 * Ownership: a Buffer handed in is the device's and valid until the call returns; what must be kept is copied.
 */
export interface Filesystem {
  /** `null`: no such name (the kernel may remember that). Adds one reference to the node that it returns. */
  lookup(caller: Caller, parent: NodeId, name: ByteString): Attr | null
  /** Drops `count` references. A node without references or links is gone. */
  forget(node: NodeId, count: number): void
  /** `withBirth`: the birth time was asked for too, which the kernel does not keep. */
  getattr(caller: Caller, node: NodeId, withBirth?: boolean): Attr
  /** A promise where much has to be copied first. What it resolves with is the device's. */
  setattr(caller: Caller, node: NodeId, set: SetAttr): Attr | Promise<Attr>
  readlink(caller: Caller, node: NodeId): ByteString
  symlink(caller: Caller, parent: NodeId, name: ByteString, target: ByteString): Attr
  /** `mode` has the type bits and the permission bits, `umask` already applied by the device. */
  mknod(caller: Caller, parent: NodeId, name: ByteString, mode: number, rdev: number): Attr
  mkdir(caller: Caller, parent: NodeId, name: ByteString, mode: number): Attr
  unlink(caller: Caller, parent: NodeId, name: ByteString): void
  rmdir(caller: Caller, parent: NodeId, name: ByteString): void
  /** `flags`: RENAME_NOREPLACE 1, RENAME_EXCHANGE 2. */
  rename(caller: Caller, parent: NodeId, name: ByteString, newParent: NodeId, newName: ByteString, flags: number): void
  link(caller: Caller, node: NodeId, newParent: NodeId, newName: ByteString): Attr
  /** `flags` as of open(2). Handles carry no state: what is read or written is named by the node alone. */
  open(caller: Caller, node: NodeId, flags: number): Opened
  create(caller: Caller, parent: NodeId, name: ByteString, mode: number, flags: number): Attr & { opened: Opened }
  /** A file without a name in the filesystem of `parent` (O_TMPFILE); `link` may give it one. */
  tmpfile(caller: Caller, parent: NodeId, mode: number, flags: number): Attr & { opened: Opened }
  /** Every `open`, `create` and `tmpfile` is followed by one `release`. */
  release(node: NodeId, flags: number): void
  /** Fills `into` from `at` with at most `size` bytes; returns how many (fewer only at the end of the file). */
  read(caller: Caller, node: NodeId, offset: number, size: number, into: Buffer, at: number): number
  /** A promise where much has to be copied first; `data` and `caller` are kept by whoever promises. */
  write(caller: Caller, node: NodeId, offset: number, data: Buffer, flags: WriteFlags): number | Promise<number>
  fsync(caller: Caller, node: NodeId, dataOnly: boolean): Promise<void>
  /**
   * Calls `emit` for each entry after the cookie `offset` (0 is the start), `.` and `..` first, until it
   * returns false: no room, that entry was not taken. A cookie stays good however the directory changes.
   * With `plus`, each entry taken other than `.` and `..` adds one reference to its node.
   */
  readdir(caller: Caller, node: NodeId, offset: number, plus: boolean, emit: EmitDirent): void
  statfs(caller: Caller): Statfs
  getxattr(caller: Caller, node: NodeId, name: ByteString): Buffer
  /** `flags`: XATTR_CREATE 1, XATTR_REPLACE 2. */
  setxattr(caller: Caller, node: NodeId, name: ByteString, value: Buffer, flags: number): void
  listxattr(caller: Caller, node: NodeId): ByteString[]
  removexattr(caller: Caller, node: NodeId, name: ByteString): void
  /** `mode` as of fallocate(2). */
  fallocate(caller: Caller, node: NodeId, offset: number, length: number, mode: number): void | Promise<void>
  /** SEEK_DATA 3, SEEK_HOLE 4. A promise where the kernel has to be asked for what it gathered first. */
  lseek(caller: Caller, node: NodeId, offset: number, whence: number): number | Promise<number>
  /** Returns the bytes copied. */
  copyFileRange(caller: Caller, from: NodeId, fromOffset: number, to: NodeId, toOffset: number, length: number): number
  /** The kernel's caches are told of changes it did not make itself; `null` when nothing is attached. */
  attach(notifier: Notifier | null): void
}

/** An inode's number: the nodeid of the protocol, `st_ino`, and the key of the delta. The root is 1. */
export type NodeId = number

/** One code unit, one byte. See the head of this file. */
export type ByteString = string

export const ROOT_NODE: NodeId = 1

/** Who calls, as the kernel says. The device reuses one object: nothing may keep it. */
export interface Caller {
  uid: number
  gid: number
  pid: number
}

/** Times are seconds since 1970 and nanoseconds. `mode` has the type bits. */
export interface Attr {
  readonly node: NodeId
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly rdev: number
  /** Bytes. */
  readonly size: number
  /** Room taken, in units of 512 bytes whatever the block size (stat(2)). */
  readonly blocks: number
  readonly atime: number
  readonly atimeNsec: number
  readonly mtime: number
  readonly mtimeNsec: number
  readonly ctime: number
  readonly ctimeNsec: number
  /** When it was made (STATX_BTIME). */
  readonly btime: number
  readonly btimeNsec: number
  /** The kernel must ask again at every use: it may vanish without a call that says so. */
  readonly volatile: boolean
}

/** What is absent stays. */
export interface SetAttr {
  /** Permission bits only. */
  mode?: number
  uid?: number
  gid?: number
  size?: number
  atime?: Time | 'now'
  mtime?: Time | 'now'
  /** Only the kernel's own, where it keeps times itself (`writeback`). */
  ctime?: Time
  /** The kernel says that the set-user-id and set-group-id bits must go (FATTR_KILL_SUIDGID). */
  killSuidgid?: boolean
}

export interface Time {
  sec: number
  nsec: number
}

export interface Opened {
  /**
   * Cached pages of earlier opens stay good (FOPEN_KEEP_CACHE), or every read and write comes here
   * (FOPEN_DIRECT_IO).
   */
  readonly cache: 'keep' | 'drop' | 'direct'
  /** Reads and mappings may go straight to this open file of the host: its key, for the device's own memory. */
  readonly passthrough?: { readonly key: string; readonly fd: number }
}

export interface WriteFlags {
  /** The kernel says that the set-user-id and set-group-id bits must go (FUSE_WRITE_KILL_SUIDGID). */
  killSuidgid: boolean
  /** The kernel sends the times of the change itself, now or later (pages that it gathered). Default false. */
  keepTimes?: boolean
}

/** `typeBits` is `mode >> 12`; `attr` is there where `plus` was asked, but for `.` and `..`. */
export type EmitDirent = (
  name: ByteString,
  node: NodeId,
  typeBits: number,
  nextOffset: number,
  attr: Attr | null,
) => boolean

/** In blocks of `blockSize` bytes. */
export interface Statfs {
  blockSize: number
  blocks: number
  blocksFree: number
  files: number
  filesFree: number
  nameMax: number
}

/** A node, and a name of it. */
export interface Prunable {
  readonly node: NodeId
  readonly parent: NodeId
  readonly name: ByteString
}

/**
 * Notices to the kernel. Each may block in the kernel until requests on the same inode or directory are
 * answered, so a device sends them from another thread than the one that serves, and in order.
 */
export interface Notifier {
  /** The name (positive or negative) is looked up anew. */
  entryChanged(parent: NodeId, name: ByteString): void
  /**
   * Attributes are asked anew, and with `contents` the cached pages and listings are dropped, those that were written
   * to after they have been sent here.
   */
  nodeChanged(node: NodeId, contents: boolean): void
  /** The file has these bytes at `offset` now, and is at least so long: for changes that keep its inode. `data` is kept. */
  stored(node: NodeId, offset: number, data: Buffer): void
  /** The kernel drops what it remembers of these if nobody uses them, and forgets them. */
  prune(nodes: readonly Prunable[]): void
  /** Resolves when all that was said so far is in force. */
  flush(): Promise<void>
}
