import { targetRoom } from '../delta/extra-room.ts'
import { IN_FILE, type Inode, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from '../delta/inode.ts'
import { COPY_NOW_MAX_BYTES } from '../delta/limits.ts'
import { READ, WRITE } from '../policy/rule.ts'
import { EACCES, EEXIST, EINVAL, EISDIR, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, EXDEV } from '../protocol/errno.ts'
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
import { Access } from './access.ts'
import { applyAttributes } from './apply-attributes.ts'
import { FileCalls } from './file-calls.ts'
import { newInode } from './new-inode.ts'
import { notingStale } from './noting-stale.ts'
import type { Observer } from './observer.ts'
import type { Listed, Overlay } from './overlay.ts'
import { KEEP, Reply } from './reply.ts'
import { statfsOf } from './statfs.ts'
import { FullVisibility, type Visibility } from './visibility.ts'
import { checkXattrName, getXattr, removeXattr, setXattr } from './xattrs.ts'

const MADE_BY_MKNOD = new Set([S_IFREG, S_IFIFO, S_IFSOCK])

/** Of open(2), rename(2) and lseek(2). */
const O_ACCMODE = 3
const RENAME_NOREPLACE = 1
const RENAME_EXCHANGE = 2

export interface ViewOptions {
  /** Whom the files belong to, as host ids. */
  readonly owner: { readonly uid: number; readonly gid: number }
  /** The host directory whose disk statfs tells of. */
  readonly statfs: () => Statfs
}

/**
 * A sandbox's filesystem: the overlay as far as the policy lets it be seen and changed. What a path's level is
 * decided anew at each call from where the path is then; handles and nodes carry no rights.
 */
export class View implements Filesystem {
  readonly overlay: Overlay
  readonly visibility: Visibility
  #owner: { readonly uid: number; readonly gid: number }
  readonly #statfs: () => Statfs
  /** It is mounted, and the kernel keeps back what is written (`writeback`). */
  gathersWrites = false
  /** It is mounted, and the kernel keeps attributes until it hears that they have changed. */
  keepsAttributes = false
  #notifier: Notifier | null = null
  #announcer: View | null = null
  readonly #access: Access
  readonly #files: FileCalls
  readonly #reply = new Reply()

  constructor(options: ViewOptions, overlay: Overlay, visibility: Visibility) {
    this.overlay = overlay
    this.visibility = visibility
    this.#access = new Access(overlay, visibility)
    this.#files = new FileCalls(overlay, this.#access)
    this.#owner = options.owner
    this.#statfs = options.statfs
  }

  /** Hears of every change and every use. */
  get observer(): Observer | null {
    return this.#access.observer
  }

  set observer(observer: Observer | null) {
    this.#access.observer = observer
  }

  attach(notifier: Notifier | null): void {
    this.#notifier = notifier === null ? null : notingStale(notifier, this.overlay)
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
    for (const inode of this.overlay.heldByKernel()) this.#notifier?.nodeChanged(inode.node, false)
  }

  lookup(_caller: Caller, parent: NodeId, name: ByteString): Attr | null {
    const directory = this.#access.directory(parent)
    const inode = this.#access.visibleChild(directory, name)
    if (inode === null) return null
    this.overlay.reference(inode)
    this.observer?.used(inode, 'look')
    return this.#attr(inode)
  }

  forget(node: NodeId, count: number): void {
    this.overlay.forget(node, count)
  }

  getattr(_caller: Caller, node: NodeId, withBirth = false): Attr {
    const inode = this.#access.visible(node)
    if (inode.attributesKept && !withBirth) this.#access.refusedByMode(inode)
    return this.#attr(inode)
  }

  setattr(caller: Caller, node: NodeId, set: SetAttr): Attr | Promise<Attr> {
    const inode = this.#access.visible(node)
    this.#access.need(inode, WRITE)
    if (set.size !== undefined) {
      if (!inode.isFile) throw inode.isDirectory ? EISDIR : EINVAL
      const copies = set.size > COPY_NOW_MAX_BYTES || inode.place === IN_FILE
      const copied = copies ? this.overlay.contents.copyUpBeside(inode) : null
      if (copied !== null) {
        const later = { ...caller }
        return copied.then(async () => ({ ...(await this.setattr(later, node, set)) }))
      }
      if (set.size !== inode.size) this.overlay.contents.truncate(inode, set.size)
    }
    applyAttributes(inode, set, this.#owner)
    this.overlay.changed(inode)
    if (set.size === undefined) this.observer?.attributesChanged(inode)
    else this.observer?.modified(inode)
    return this.#attr(inode)
  }

  readlink(_caller: Caller, node: NodeId): ByteString {
    const inode = this.#access.visible(node)
    this.#access.need(inode, READ)
    if (!inode.isSymlink) throw EINVAL
    this.observer?.used(inode, 'read')
    return inode.target
  }

  symlink(caller: Caller, parent: NodeId, name: ByteString, target: ByteString): Attr {
    if (target.length > 4095) throw ENAMETOOLONG
    this.overlay.delta.usage.needBytes(targetRoom(target))
    return this.#make(caller, parent, name, S_IFLNK | 0o777, (inode) => {
      inode.target = target
      inode.size = target.length
      this.overlay.contents.settle(inode)
    })
  }

  mknod(caller: Caller, parent: NodeId, name: ByteString, mode: number, _rdev: number): Attr {
    // A device node would be a way around every boundary, should a mount forget nodev. Whatever else there may be is
    // made by a call of its own, which a kernel that is not ours might not know.
    if (!MADE_BY_MKNOD.has(mode & S_IFMT)) throw EPERM
    return this.#make(caller, parent, name, mode & (S_IFMT | 0o7777))
  }

  mkdir(caller: Caller, parent: NodeId, name: ByteString, mode: number): Attr {
    return this.#make(caller, parent, name, S_IFDIR | mode)
  }

  unlink(_caller: Caller, parent: NodeId, name: ByteString): void {
    const directory = this.#access.directory(parent)
    const inode = this.#access.existing(directory, name)
    if (inode.isDirectory) throw EISDIR
    this.#access.needAt(directory, name, WRITE)
    this.overlay.unlink(directory, name, inode)
    this.observer?.deleted(directory, name, inode)
  }

  rmdir(_caller: Caller, parent: NodeId, name: ByteString): void {
    const directory = this.#access.directory(parent)
    const inode = this.#access.existing(directory, name)
    if (!inode.isDirectory) throw ENOTDIR
    this.#access.needAt(directory, name, WRITE)
    const keepsHidden = this.#access.seemsEmpty(inode)
    this.overlay.rmdir(directory, name, inode, keepsHidden)
    this.observer?.deleted(directory, name, inode)
  }

  rename(
    _caller: Caller,
    parent: NodeId,
    name: ByteString,
    newParent: NodeId,
    newName: ByteString,
    flags: number,
  ): void {
    const from = this.#access.directory(parent)
    const to = this.#access.directory(newParent)
    const inode = this.#access.existing(from, name)
    const fromState = this.#access.needAt(from, name, WRITE)
    const toState = this.#access.needAt(to, newName, WRITE)
    const target = this.#access.visibleChild(to, newName)
    if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) throw EINVAL
    if (target !== null && flags & RENAME_NOREPLACE) throw EEXIST
    if (inode.isDirectory && this.overlay.isWithin(to, inode)) throw EINVAL
    if (inode.isDirectory) this.#access.needMovable(inode, fromState, toState)
    if (flags & RENAME_EXCHANGE) {
      if (target === null) throw ENOENT
      if (target.isDirectory && this.overlay.isWithin(from, target)) throw EINVAL
      if (target.isDirectory) this.#access.needMovable(target, toState, fromState)
      this.overlay.exchange(from, name, inode, to, newName, target)
      this.observer?.renamed(from, name, to, newName, inode, target, true)
      return
    }
    if (target === inode) return
    if (target !== null) {
      if (inode.isDirectory && !target.isDirectory) throw ENOTDIR
      if (!inode.isDirectory && target.isDirectory) throw EISDIR
    }
    const keepsHidden = target?.isDirectory ? this.#access.seemsEmpty(target) : false
    this.overlay.rename(from, name, to, newName, inode, target, keepsHidden)
    this.observer?.renamed(from, name, to, newName, inode, target, false)
  }

  link(_caller: Caller, node: NodeId, newParent: NodeId, newName: ByteString): Attr {
    const inode = this.#access.visible(node)
    const directory = this.#access.directory(newParent)
    if (inode.isDirectory) throw EPERM
    this.#access.needAt(directory, newName, WRITE)
    if (this.#access.visibleChild(directory, newName) !== null) throw EEXIST
    // A second name where more is allowed would raise the first one's level. cp copies instead.
    if (this.visibility.stateOf(inode).level < WRITE) throw EXDEV
    if (inode.nlink === 0 && !inode.linkable) throw ENOENT
    this.overlay.link(directory, newName, inode)
    this.overlay.reference(inode)
    this.observer?.created(directory, newName, inode)
    return this.#attr(inode)
  }

  open(_caller: Caller, node: NodeId, flags: number): Opened {
    const inode = this.#access.visible(node)
    const access = flags & O_ACCMODE
    this.#access.need(inode, access === 0 ? READ : WRITE)
    return KEEP
  }

  create(caller: Caller, parent: NodeId, name: ByteString, mode: number, _flags: number): Attr & { opened: Opened } {
    return this.#make(caller, parent, name, S_IFREG | (mode & 0o7777))
  }

  /** Whoever may make names there may make a file without one; what name it gets is decided by `link`. */
  tmpfile(caller: Caller, parent: NodeId, mode: number, _flags: number): Attr & { opened: Opened } {
    const directory = this.#access.directory(parent)
    const state = this.visibility.stateOf(directory)
    if (directory.nlink === 0) throw ENOENT
    if (state.level < WRITE && !state.mayWriteBelow) throw EACCES
    const inode = newInode(caller, directory, S_IFREG | (mode & 0o7777), this.overlay, this.#owner)
    this.visibility.own(inode)
    inode.linkable = true
    this.overlay.reference(inode)
    return this.#attr(inode)
  }

  release(_node: NodeId, _flags: number): void {
    // Handles have no state (ADR 8).
  }

  read(_caller: Caller, node: NodeId, offset: number, size: number, into: Buffer, at: number): number {
    return this.#files.read(node, offset, size, into, at)
  }

  write(caller: Caller, node: NodeId, offset: number, data: Buffer, flags: WriteFlags): number | Promise<number> {
    try {
      return this.#files.write(caller, node, offset, data, flags)
    } catch (error) {
      // The kernel shows what it gathered until it hears that it is not so.
      if (this.gathersWrites) this.notifier?.nodeChanged(node, true)
      throw error
    }
  }

  fsync(_caller: Caller, node: NodeId, dataOnly: boolean): Promise<void> {
    return this.#files.fsync(node, dataOnly)
  }

  readdir(_caller: Caller, node: NodeId, offset: number, plus: boolean, emit: EmitDirent): void {
    const directory = this.#access.directory(node)
    const type = S_IFDIR >> 12
    if (offset === 0) this.observer?.used(directory, 'list')
    if (offset < 1 && !emit('.', directory.node, type, 1, null)) return
    if (offset < 2 && !emit('..', directory.parent || ROOT_NODE, type, 2, null)) return
    // The base still has what was in it.
    if (directory.nlink === 0) return
    const state = this.visibility.stateOf(directory)
    for (const listed of this.overlay.list(directory, offset)) {
      if (!this.visibility.shows(state, listed)) continue
      if (!this.#emit(listed, plus, emit)) return
    }
  }

  statfs(): Statfs {
    return statfsOf(this.#statfs(), this.overlay.delta.usage)
  }

  getxattr(_caller: Caller, node: NodeId, name: ByteString): Buffer {
    const inode = this.#access.visible(node)
    checkXattrName(name)
    this.#access.need(inode, READ)
    const value = getXattr(inode, name)
    this.observer?.used(inode, 'read')
    return value
  }

  setxattr(_caller: Caller, node: NodeId, name: ByteString, value: Buffer, flags: number): void {
    const inode = this.#access.visible(node)
    this.#access.need(inode, WRITE)
    setXattr(inode, name, value, flags, this.overlay.delta.usage)
    this.overlay.contents.settle(inode)
    this.overlay.changed(inode)
    this.observer?.attributesChanged(inode)
  }

  listxattr(_caller: Caller, node: NodeId): ByteString[] {
    const inode = this.#access.visible(node)
    this.#access.need(inode, READ)
    return [...(inode.xattrs?.keys() ?? [])]
  }

  removexattr(_caller: Caller, node: NodeId, name: ByteString): void {
    const inode = this.#access.visible(node)
    this.#access.need(inode, WRITE)
    removeXattr(inode, name)
    this.overlay.contents.settle(inode)
    this.overlay.changed(inode)
    this.observer?.attributesChanged(inode)
  }

  fallocate(caller: Caller, node: NodeId, offset: number, length: number, mode: number): void | Promise<void> {
    return this.#files.fallocate(caller, node, offset, length, mode)
  }

  lseek(_caller: Caller, node: NodeId, offset: number, whence: number): number | Promise<number> {
    const { notifier } = this
    if (!this.gathersWrites || notifier === null) return this.#files.lseek(node, offset, whence)
    // What the kernel has gathered is no hole, and may be beyond the size that we know.
    notifier.nodeChanged(node, true)
    return notifier.flush().then(() => this.#files.lseek(node, offset, whence))
  }

  copyFileRange(caller: Caller, from: NodeId, at: number, to: NodeId, toOffset: number, length: number): number {
    return this.#files.copyRange(caller, from, at, to, toOffset, length)
  }

  #emit(listed: Listed, plus: boolean, emit: EmitDirent): boolean {
    const type = this.overlay.typeOf(listed) >> 12
    if (!plus) return emit(listed.name, listed.node, type, listed.cookie, null)
    const inode = this.overlay.inode(listed.node)
    if (!emit(listed.name, listed.node, type, listed.cookie, this.#attr(inode))) return false
    this.overlay.reference(inode)
    return true
  }

  #make(caller: Caller, parent: NodeId, name: ByteString, mode: number, fill?: (inode: Inode) => void): Reply {
    const directory = this.#access.directory(parent)
    // A visible name exists; of a hidden one, and of one that may not be made, the answer is the same.
    if (this.#access.visibleChild(directory, name) !== null) throw EEXIST
    this.#access.needAt(directory, name, WRITE)
    const inode = newInode(caller, directory, mode, this.overlay, this.#owner)
    fill?.(inode)
    this.overlay.link(directory, name, inode)
    this.overlay.reference(inode)
    this.observer?.created(directory, name, inode)
    return this.#attr(inode)
  }

  /** Gives an unnamed file a name, in place of whatever file stands there: for contents that appear at once. */
  place(parent: NodeId, name: ByteString, file: Inode, exclusive: boolean): void {
    const directory = this.#access.directory(parent)
    const existing = this.#access.visibleChild(directory, name)
    this.#access.needAt(directory, name, WRITE)
    if (existing !== null) {
      if (exclusive) throw EEXIST
      if (existing.isDirectory) throw EISDIR
      this.overlay.unlink(directory, name, existing)
      this.observer?.deleted(directory, name, existing)
    }
    this.overlay.link(directory, name, file)
    this.observer?.created(directory, name, file)
  }

  #attr(inode: Inode): Reply {
    const state = this.visibility.stateOf(inode)
    const nlink = inode.isDirectory ? this.visibility.directoryLinks(inode, state) : inode.nlink
    inode.attributesKept = this.keepsAttributes
    return this.#reply.of(inode, state, nlink, this.#owner)
  }
}
