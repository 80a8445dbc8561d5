import { Inode, OWNER_ID, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../delta/inode.ts'
import { XATTRS_MAX_BYTES } from '../delta/limits.ts'
import type { PathState } from '../policy/path-state.ts'
import { type Level, NONE, READ, WRITE } from '../policy/rule.ts'
import {
  EACCES,
  EEXIST,
  EINVAL,
  EISDIR,
  ENAMETOOLONG,
  ENODATA,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  ERANGE,
  EXDEV,
} from '../protocol/errno.ts'
import type {
  Attr,
  ByteString,
  Caller,
  EmitDirent,
  Filesystem,
  NodeId,
  Notifier,
  Opened,
  SetAttr,
  Statfs,
  WriteFlags,
} from '../protocol/filesystem.ts'
import { ROOT_NODE } from '../protocol/filesystem.ts'
import { type Listed, type Overlay, stampChange, stampModified } from './overlay.ts'
import { FullVisibility, type Visibility } from './visibility.ts'

const S_ISUID = 0o4000
const S_ISGID = 0o2000
const S_IXGRP = 0o010
const RENAME_NOREPLACE = 1
const RENAME_EXCHANGE = 2
const XATTR_CREATE = 1
const XATTR_REPLACE = 2
const FALLOC_KEEP_SIZE = 1
const FALLOC_PUNCH_HOLE = 2
const FALLOC_ZERO_RANGE = 16
const SEEK_DATA = 3
const O_ACCMODE = 3
const NAME_MAX_BYTES = 255
const COPY_CHUNK_BYTES = 1 << 20
/** One COPY_FILE_RANGE copies at most this; the caller asks again. A longer one would hold up every mount. */
const COPY_MAX_BYTES = 8 << 20

const KEEP: Opened = { cache: 'keep' }

export interface ViewOptions {
  /** Whom the files belong to, as host ids. */
  readonly owner: { readonly uid: number; readonly gid: number }
  /** The host directory whose disk statfs tells of. */
  readonly statfs: () => Statfs
}

/**
 * A sandbox's filesystem: the overlay as far as the policy lets it be seen and changed. What a path's level is
 * decided anew at each call from where the path is then; handles and nodes carry no rights.
 *
 * Two rules keep what is hidden from being told by an answer:
 *  - a hidden name is answered as a name that does not exist, and making something there is refused in the
 *    same way (EACCES) whether there is something or not;
 *  - a refusal that depends on what is below a directory looks at the rules alone, or only at visible entries.
 */
export class View implements Filesystem {
  readonly overlay: Overlay
  readonly visibility: Visibility
  #owner: { readonly uid: number; readonly gid: number }
  readonly #statfs: () => Statfs
  #notifier: Notifier | null = null
  #announcer: View | null = null
  readonly #reply = new Reply()

  constructor(options: ViewOptions, overlay: Overlay, visibility: Visibility) {
    this.overlay = overlay
    this.visibility = visibility
    this.#owner = options.owner
    this.#statfs = options.statfs
  }

  attach(notifier: Notifier | null): void {
    this.#notifier = notifier
    if (notifier === null) this.overlay.forgetAll()
  }

  get notifier(): Notifier | null {
    return this.#announcer?.notifier ?? this.#notifier
  }

  /** It is the owner's: nothing is hidden from it. */
  get showsHidden(): boolean {
    return this.visibility instanceof FullVisibility
  }

  /** The kernel hears of this view's changes through the one that is mounted. */
  notifyThrough(mounted: View): void {
    this.#announcer = mounted
  }

  setOwner(owner: { uid: number; gid: number }): void {
    this.#owner = owner
    for (const inode of this.overlay.inMemory()) if (inode.refs > 0) this.#notifier?.nodeChanged(inode.node, false)
  }

  lookup(_caller: Caller, parent: NodeId, name: ByteString): Attr | null {
    const directory = this.#directory(parent)
    if (name.length > NAME_MAX_BYTES) throw ENAMETOOLONG
    const inode = this.#visibleChild(directory, name)
    if (inode === null) return null
    this.overlay.reference(inode)
    return this.#attr(inode)
  }

  forget(node: NodeId, count: number): void {
    this.overlay.forget(node, count)
  }

  getattr(_caller: Caller, node: NodeId): Attr {
    return this.#attr(this.#visible(node))
  }

  setattr(caller: Caller, node: NodeId, set: SetAttr): Attr {
    const inode = this.#visible(node)
    this.#need(inode, WRITE)
    if (set.size !== undefined) this.#truncate(inode, set.size)
    if (set.mode !== undefined) inode.mode = (inode.mode & S_IFMT) | (set.mode & 0o7777)
    if (set.uid !== undefined) inode.uid = set.uid === this.#owner.uid ? OWNER_ID : set.uid
    if (set.gid !== undefined) inode.gid = set.gid === this.#owner.gid ? OWNER_ID : set.gid
    if (set.killSuidgid) killSuidgid(inode)
    stampChange(inode)
    if (set.atime === 'now') {
      inode.atime = inode.ctime
      inode.atimeNsec = inode.ctimeNsec
    } else if (set.atime !== undefined) {
      inode.atime = set.atime.sec
      inode.atimeNsec = set.atime.nsec
    }
    if (set.mtime === 'now' || (set.mtime === undefined && set.size !== undefined)) {
      inode.mtime = inode.ctime
      inode.mtimeNsec = inode.ctimeNsec
    } else if (set.mtime !== undefined) {
      inode.mtime = set.mtime.sec
      inode.mtimeNsec = set.mtime.nsec
    }
    this.overlay.changed(inode)
    return this.#attr(inode)
  }

  readlink(_caller: Caller, node: NodeId): ByteString {
    const inode = this.#visible(node)
    this.#need(inode, READ)
    if (!inode.isSymlink) throw EINVAL
    return inode.target
  }

  symlink(caller: Caller, parent: NodeId, name: ByteString, target: ByteString): Attr {
    if (target.length > 4095) throw ENAMETOOLONG
    return this.#make(caller, parent, name, S_IFLNK | 0o777, (inode) => {
      inode.target = target
      inode.size = target.length
    })
  }

  mknod(caller: Caller, parent: NodeId, name: ByteString, mode: number, _rdev: number): Attr {
    const type = mode & S_IFMT
    // A device node would be a way around every boundary, should a mount forget nodev.
    if (type === S_IFCHR || type === S_IFBLK) throw EPERM
    return this.#make(caller, parent, name, mode)
  }

  mkdir(caller: Caller, parent: NodeId, name: ByteString, mode: number): Attr {
    return this.#make(caller, parent, name, S_IFDIR | mode)
  }

  unlink(_caller: Caller, parent: NodeId, name: ByteString): void {
    const directory = this.#directory(parent)
    const inode = this.#existing(directory, name)
    if (inode.isDirectory) throw EISDIR
    this.#needAt(directory, name, WRITE)
    this.overlay.unlink(directory, name, inode)
  }

  rmdir(_caller: Caller, parent: NodeId, name: ByteString): void {
    const directory = this.#directory(parent)
    const inode = this.#existing(directory, name)
    if (!inode.isDirectory) throw ENOTDIR
    this.#needAt(directory, name, WRITE)
    const keepsHidden = this.#seemsEmpty(inode)
    this.overlay.rmdir(directory, name, inode, keepsHidden)
  }

  rename(
    _caller: Caller,
    parent: NodeId,
    name: ByteString,
    newParent: NodeId,
    newName: ByteString,
    flags: number,
  ): void {
    const from = this.#directory(parent)
    const to = this.#directory(newParent)
    if (newName.length > NAME_MAX_BYTES) throw ENAMETOOLONG
    const inode = this.#existing(from, name)
    const fromState = this.#needAt(from, name, WRITE)
    const toState = this.#needAt(to, newName, WRITE)
    const target = this.#visibleChild(to, newName)
    if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) throw EINVAL
    if (target !== null && flags & RENAME_NOREPLACE) throw EEXIST
    if (inode.isDirectory && this.overlay.isWithin(to, inode)) throw EINVAL
    if (inode.isDirectory) this.#needMovable(inode, fromState, toState)
    if (flags & RENAME_EXCHANGE) {
      if (target === null) throw ENOENT
      if (target.isDirectory && this.overlay.isWithin(from, target)) throw EINVAL
      if (target.isDirectory) this.#needMovable(target, toState, fromState)
      this.overlay.exchange(from, name, inode, to, newName, target)
      return
    }
    if (target === inode) return
    if (target !== null) {
      if (inode.isDirectory && !target.isDirectory) throw ENOTDIR
      if (!inode.isDirectory && target.isDirectory) throw EISDIR
    }
    const keepsHidden = target?.isDirectory ? this.#seemsEmpty(target) : false
    this.overlay.rename(from, name, to, newName, inode, target, keepsHidden)
  }

  link(_caller: Caller, node: NodeId, newParent: NodeId, newName: ByteString): Attr {
    const inode = this.#visible(node)
    const directory = this.#directory(newParent)
    if (inode.isDirectory) throw EPERM
    if (newName.length > NAME_MAX_BYTES) throw ENAMETOOLONG
    this.#needAt(directory, newName, WRITE)
    if (this.#visibleChild(directory, newName) !== null) throw EEXIST
    // A second name where more is allowed would raise the first one's level. cp copies instead.
    if (this.visibility.stateOf(inode).level < WRITE) throw EXDEV
    if (inode.nlink === 0) throw ENOENT
    this.overlay.link(directory, newName, inode)
    this.overlay.reference(inode)
    return this.#attr(inode)
  }

  open(_caller: Caller, node: NodeId, flags: number): Opened {
    const inode = this.#visible(node)
    const access = flags & O_ACCMODE
    this.#need(inode, access === 0 ? READ : WRITE)
    return KEEP
  }

  create(
    caller: Caller,
    parent: NodeId,
    name: ByteString,
    mode: number,
    _flags: number,
  ): Attr & { opened: Opened } {
    const attr = this.#make(caller, parent, name, S_IFREG | (mode & 0o7777)) as Reply
    attr.opened = KEEP
    return attr as Attr & { opened: Opened }
  }

  release(_node: NodeId, _flags: number): void {}

  read(_caller: Caller, node: NodeId, offset: number, size: number, into: Buffer, at: number): number {
    const inode = this.#visible(node)
    this.#need(inode, READ)
    if (inode.isDirectory) throw EISDIR
    return this.overlay.contents.read(inode, offset, size, into, at)
  }

  write(_caller: Caller, node: NodeId, offset: number, data: Buffer, flags: WriteFlags): number {
    const inode = this.#visible(node)
    this.#need(inode, WRITE)
    if (!inode.isFile) throw EINVAL
    this.overlay.contents.write(inode, offset, data)
    if (flags.killSuidgid) killSuidgid(inode)
    stampModified(inode)
    this.overlay.changed(inode)
    return data.length
  }

  async fsync(_caller: Caller, node: NodeId, _dataOnly: boolean): Promise<void> {
    await this.overlay.contents.sync(this.overlay.inode(node))
    await this.overlay.delta.flush(true)
  }

  readdir(_caller: Caller, node: NodeId, offset: number, plus: boolean, emit: EmitDirent): void {
    const directory = this.#directory(node)
    const type = S_IFDIR >> 12
    if (offset < 1 && !emit('.', directory.node, type, 1, null)) return
    if (offset < 2 && !emit('..', directory.parent || ROOT_NODE, type, 2, null)) return
    const state = this.visibility.stateOf(directory)
    for (const listed of this.overlay.list(directory, offset)) {
      if (!this.visibility.shows(state, listed)) continue
      if (!this.#emit(listed, plus, emit)) return
    }
  }

  statfs(): Statfs {
    return this.#statfs()
  }

  getxattr(_caller: Caller, node: NodeId, name: ByteString): Buffer {
    const inode = this.#visible(node)
    if (!name.startsWith('user.')) throw name.startsWith('security.') ? ENODATA : EOPNOTSUPP
    this.#need(inode, READ)
    const value = inode.xattrs?.get(name)
    if (value === undefined) throw ENODATA
    return value
  }

  setxattr(_caller: Caller, node: NodeId, name: ByteString, value: Buffer, flags: number): void {
    const inode = this.#visible(node)
    this.#need(inode, WRITE)
    if (!name.startsWith('user.')) throw EOPNOTSUPP
    if (name.length > NAME_MAX_BYTES) throw ERANGE
    // xattr(7): user attributes are for regular files and directories.
    if (!inode.isFile && !inode.isDirectory) throw EPERM
    const had = inode.xattrs?.has(name) ?? false
    if (had && flags & XATTR_CREATE) throw EEXIST
    if (!had && flags & XATTR_REPLACE) throw ENODATA
    let total = name.length + value.length
    for (const [other, data] of inode.xattrs ?? []) if (other !== name) total += other.length + data.length
    if (total > XATTRS_MAX_BYTES) throw ENOSPC
    inode.xattrs ??= new Map()
    inode.xattrs.set(name, Buffer.from(value))
    stampChange(inode)
    this.overlay.changed(inode)
  }

  listxattr(_caller: Caller, node: NodeId): ByteString[] {
    const inode = this.#visible(node)
    this.#need(inode, READ)
    return [...(inode.xattrs?.keys() ?? [])]
  }

  removexattr(_caller: Caller, node: NodeId, name: ByteString): void {
    const inode = this.#visible(node)
    this.#need(inode, WRITE)
    if (!inode.xattrs?.delete(name)) throw ENODATA
    stampChange(inode)
    this.overlay.changed(inode)
  }

  fallocate(_caller: Caller, node: NodeId, offset: number, length: number, mode: number): void {
    const inode = this.#visible(node)
    this.#need(inode, WRITE)
    if (!inode.isFile) throw ENODATA
    if (mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) throw EOPNOTSUPP
    const end = offset + length
    if (mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) this.#zero(inode, offset, Math.min(end, inode.size))
    if (!(mode & FALLOC_KEEP_SIZE) && end > inode.size) this.overlay.contents.truncate(inode, end)
    stampModified(inode)
    this.overlay.changed(inode)
  }

  /** Holes are not told apart: all up to the end is data (lseek(2) allows that). */
  lseek(_caller: Caller, node: NodeId, offset: number, whence: number): number {
    const inode = this.#visible(node)
    this.#need(inode, READ)
    if (offset < 0 || offset >= inode.size) throw ENXIO
    return whence === SEEK_DATA ? offset : inode.size
  }

  copyFileRange(
    caller: Caller,
    from: NodeId,
    fromOffset: number,
    to: NodeId,
    toOffset: number,
    length: number,
  ): number {
    const wanted = Math.min(length, COPY_MAX_BYTES)
    const buffer = Buffer.allocUnsafe(Math.min(wanted, COPY_CHUNK_BYTES))
    let done = 0
    while (done < wanted) {
      const size = Math.min(buffer.length, wanted - done)
      const got = this.read(caller, from, fromOffset + done, size, buffer, 0)
      if (got === 0) break
      this.write(caller, to, toOffset + done, buffer.subarray(0, got), { killSuidgid: true })
      done += got
    }
    return done
  }

  #emit(listed: Listed, plus: boolean, emit: EmitDirent): boolean {
    const type = this.overlay.typeOf(listed) >> 12
    if (!plus) return emit(listed.name, listed.node, type, listed.cookie, null)
    const inode = this.overlay.inode(listed.node)
    if (!emit(listed.name, listed.node, type, listed.cookie, this.#attr(inode))) return false
    this.overlay.reference(inode)
    return true
  }

  #make(caller: Caller, parent: NodeId, name: ByteString, mode: number, fill?: (inode: Inode) => void): Attr {
    const directory = this.#directory(parent)
    if (name.length > NAME_MAX_BYTES) throw ENAMETOOLONG
    // A visible name exists; of a hidden one, and of one that may not be made, the answer is the same.
    if (this.#visibleChild(directory, name) !== null) throw EEXIST
    this.#needAt(directory, name, WRITE)
    // inode(7): in a set-group-ID directory the group is the directory's, and directories hand the bit on.
    const inherits = (directory.mode & S_ISGID) !== 0
    const isDirectory = (mode & S_IFMT) === S_IFDIR
    const inode = this.overlay.make(
      inherits && isDirectory ? mode | S_ISGID : mode,
      caller.uid === this.#owner.uid ? OWNER_ID : caller.uid,
      inherits ? directory.gid : caller.gid === this.#owner.gid ? OWNER_ID : caller.gid,
    )
    fill?.(inode)
    this.overlay.link(directory, name, inode)
    this.overlay.reference(inode)
    return this.#attr(inode)
  }

  #truncate(inode: Inode, size: number): void {
    if (inode.isDirectory) throw EISDIR
    if (!inode.isFile) throw EINVAL
    if (size !== inode.size) this.overlay.contents.truncate(inode, size)
  }

  /** Gives an unnamed file a name, in place of whatever file stands there: for contents that appear at once. */
  place(parent: NodeId, name: ByteString, file: Inode, exclusive: boolean): void {
    const directory = this.#directory(parent)
    if (name.length > NAME_MAX_BYTES) throw ENAMETOOLONG
    const existing = this.#visibleChild(directory, name)
    this.#needAt(directory, name, WRITE)
    if (existing !== null) {
      if (exclusive) throw EEXIST
      if (existing.isDirectory) throw EISDIR
      this.overlay.unlink(directory, name, existing)
    }
    this.overlay.link(directory, name, file)
  }

  #zero(inode: Inode, from: number, to: number): void {
    const zeros = Buffer.alloc(Math.min(COPY_CHUNK_BYTES, Math.max(0, to - from)))
    for (let at = from; at < to; at += zeros.length) {
      this.overlay.contents.write(inode, at, zeros.subarray(0, Math.min(zeros.length, to - at)))
    }
  }

  /**
   * Whether a directory may move with all below it. By the rules alone where it is about what is hidden; the
   * answer EXDEV makes mv(1) copy what it can see and delete that.
   */
  #needMovable(inode: Inode, from: PathState, to: PathState): void {
    if (this.visibility.mayRaise(from, to)) throw EXDEV
    if (this.visibility.hasRestrictedBelow(inode, from)) throw EACCES
  }

  /** Throws unless the directory has nothing that can be seen. Returns whether it has something hidden. */
  #seemsEmpty(directory: Inode): boolean {
    const state = this.visibility.stateOf(directory)
    let hidden = false
    for (const listed of this.overlay.list(directory)) {
      if (this.visibility.shows(state, listed)) throw ENOTEMPTY
      hidden = true
    }
    return hidden || this.#hasShadows(directory)
  }

  #hasShadows(directory: Inode): boolean {
    for (const dentry of this.overlay.delta.directories.get(directory.node)?.all() ?? []) {
      if (dentry.shadows.length > 0) return true
    }
    return false
  }

  #directory(node: NodeId): Inode {
    const inode = this.#visible(node)
    if (!inode.isDirectory) throw ENOTDIR
    return inode
  }

  #visible(node: NodeId): Inode {
    const inode = this.overlay.inode(node)
    if (!this.visibility.isVisible(inode)) throw ENOENT
    return inode
  }

  #visibleChild(directory: Inode, name: ByteString): Inode | null {
    if (directory.nlink === 0) return null
    const inode = this.overlay.lookup(directory, name)
    return inode !== null && this.visibility.isVisibleAs(inode, this.visibility.childState(directory, name))
      ? inode
      : null
  }

  #existing(directory: Inode, name: ByteString): Inode {
    const inode = this.#visibleChild(directory, name)
    if (inode === null) throw ENOENT
    return inode
  }

  #need(inode: Inode, level: Level): void {
    if (this.visibility.stateOf(inode).level < level) throw EACCES
  }

  #needAt(directory: Inode, name: ByteString, level: Level): PathState {
    if (directory.nlink === 0) throw ENOENT
    const state = this.visibility.childState(directory, name)
    if (state.level < level) throw EACCES
    return state
  }

  #attr(inode: Inode): Attr {
    const reply = this.#reply
    const state = this.visibility.stateOf(inode)
    reply.node = inode.node
    reply.mode = shownMode(inode, state)
    reply.nlink = inode.isDirectory ? this.visibility.directoryLinks(inode, state) : inode.nlink
    reply.uid = inode.uid === OWNER_ID ? this.#owner.uid : inode.uid
    reply.gid = inode.gid === OWNER_ID ? this.#owner.gid : inode.gid
    reply.size = inode.size
    reply.atime = inode.atime
    reply.atimeNsec = inode.atimeNsec
    reply.mtime = inode.mtime
    reply.mtimeNsec = inode.mtimeNsec
    reply.ctime = inode.ctime
    reply.ctimeNsec = inode.ctimeNsec
    reply.volatile = state.level === NONE
    return reply
  }
}

/** One object for every answer: the device encodes it before it calls again. */
class Reply {
  node: NodeId = 0
  mode = 0
  nlink = 0
  uid = 0
  gid = 0
  readonly rdev = 0
  size = 0
  atime = 0
  atimeNsec = 0
  mtime = 0
  mtimeNsec = 0
  ctime = 0
  ctimeNsec = 0
  volatile = false
  opened: Opened = KEEP
}

/**
 * The mode as far as the level lets it be used, so that the kernel refuses an open without asking us. The
 * checks of each call remain: a caller with CAP_DAC_OVERRIDE is not held by modes.
 */
function shownMode(inode: Inode, state: PathState): number {
  if (state.level === WRITE || inode.isSymlink) return inode.mode
  if (inode.isDirectory) return state.mayWriteBelow ? inode.mode : inode.mode & ~0o222
  return state.level === READ ? inode.mode & ~0o222 : inode.mode & ~0o777
}

/** As the kernel does it: the set-group-ID bit stays where it means mandatory locking (no group execute). */
function killSuidgid(inode: Inode): void {
  inode.mode &= ~S_ISUID
  if (inode.mode & S_IXGRP) inode.mode &= ~S_ISGID
}
