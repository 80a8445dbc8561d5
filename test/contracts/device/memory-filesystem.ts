import {
  EEXIST,
  EINVAL,
  EISDIR,
  ENODATA,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  ENXIO,
  EOPNOTSUPP,
  ESTALE,
} from '../../../fs-layer/protocol/errno.ts'
import {
  type Attr,
  type ByteString,
  type Caller,
  type EmitDirent,
  type Filesystem,
  type NodeId,
  type Notifier,
  type Opened,
  ROOT_NODE,
  type SetAttr,
} from '../../../fs-layer/protocol/filesystem.ts'
import { clock, isDirectory, type Node, newNode, setTime } from './memory-node.ts'

const S_IFMT = 0o170000
const S_IFDIR = 0o040000
const S_IFREG = 0o100000
const S_IFLNK = 0o120000

export interface MemoryFilesystemOptions {
  /** A file of the host that `open` hands out for passthrough, by name in the root. */
  readonly passthrough?: { readonly name: ByteString; readonly fd: number; readonly sizeBytes: number }
}

/**
 * A test double: a whole filesystem in memory, without rules, limits or permissions, so that the devices can be
 * tried without the view.
 */
export class MemoryFilesystem implements Filesystem {
  readonly #nodes = new Map<NodeId, Node>()
  readonly #options: MemoryFilesystemOptions
  #lastNode = ROOT_NODE
  #lastCookie = 2
  notifier: Notifier | null = null
  fsyncs = 0

  constructor(options: MemoryFilesystemOptions = {}) {
    this.#options = options
    this.#nodes.set(ROOT_NODE, newNode(ROOT_NODE, S_IFDIR | 0o777, 0, 0))
    const { passthrough } = options
    if (passthrough !== undefined) {
      const node = this.#add(ROOT_NODE, passthrough.name, S_IFREG | 0o666, { uid: 0, gid: 0, pid: 0 })
      node.attr.size = passthrough.sizeBytes
    }
  }

  /** Nodes that exist, the root included. */
  get nodeCount(): number {
    return this.#nodes.size
  }

  lookup(_caller: Caller, parent: NodeId, name: ByteString): Attr | null {
    const entry = this.#directory(parent).entries.get(name)
    if (entry === undefined) return null
    const node = this.#node(entry.node)
    node.references++
    return node.attr
  }

  forget(id: NodeId, count: number): void {
    const node = this.#node(id)
    node.references -= count
    this.#collect(node)
  }

  getattr(_caller: Caller, id: NodeId): Attr {
    return this.#node(id).attr
  }

  setattr(_caller: Caller, id: NodeId, set: SetAttr): Attr {
    const node = this.#node(id)
    const { attr } = node
    const now = clock()
    if (set.killSuidgid) attr.mode &= ~0o6000
    if (set.mode !== undefined) attr.mode = (attr.mode & S_IFMT) | set.mode
    if (set.uid !== undefined) attr.uid = set.uid
    if (set.gid !== undefined) attr.gid = set.gid
    if (set.size !== undefined) {
      const resized = Buffer.alloc(set.size)
      node.contents.copy(resized, 0, 0, Math.min(attr.size, set.size))
      node.contents = resized
      attr.size = set.size
      setTime(attr, 'mtime', now)
    }
    if (set.atime !== undefined) setTime(attr, 'atime', set.atime === 'now' ? now : set.atime)
    if (set.mtime !== undefined) setTime(attr, 'mtime', set.mtime === 'now' ? now : set.mtime)
    setTime(attr, 'ctime', now)
    return attr
  }

  readlink(_caller: Caller, id: NodeId): ByteString {
    return this.#node(id).target
  }

  symlink(caller: Caller, parent: NodeId, name: ByteString, target: ByteString): Attr {
    const node = this.#add(parent, name, S_IFLNK | 0o777, caller)
    node.target = target
    node.attr.size = target.length
    node.references++
    return node.attr
  }

  mknod(caller: Caller, parent: NodeId, name: ByteString, mode: number, rdev: number): Attr {
    const node = this.#add(parent, name, mode, caller)
    node.attr.rdev = rdev
    node.references++
    return node.attr
  }

  mkdir(caller: Caller, parent: NodeId, name: ByteString, mode: number): Attr {
    const node = this.#add(parent, name, S_IFDIR | mode, caller)
    node.references++
    return node.attr
  }

  unlink(_caller: Caller, parent: NodeId, name: ByteString): void {
    const node = this.#child(parent, name)
    if (isDirectory(node)) throw EISDIR
    this.#remove(parent, name, node)
  }

  rmdir(_caller: Caller, parent: NodeId, name: ByteString): void {
    const node = this.#child(parent, name)
    if (!isDirectory(node)) throw ENOTDIR
    if (node.entries.size > 0) throw ENOTEMPTY
    this.#remove(parent, name, node)
  }

  rename(_c: Caller, parent: NodeId, name: ByteString, newParent: NodeId, newName: ByteString, flags: number): void {
    const node = this.#child(parent, name)
    const from = this.#directory(parent)
    const to = this.#directory(newParent)
    const there = to.entries.get(newName)
    if (flags === 1 && there !== undefined) throw EEXIST
    if (flags === 2) {
      if (there === undefined) throw ENOENT
      from.entries.set(name, { node: there.node, cookie: ++this.#lastCookie })
      to.entries.set(newName, { node: node.attr.node, cookie: ++this.#lastCookie })
      this.#node(there.node).parent = parent
      node.parent = newParent
      return
    }
    if (there !== undefined) {
      const old = this.#node(there.node)
      if (old === node) return
      if (isDirectory(old) && old.entries.size > 0) throw ENOTEMPTY
      this.#remove(newParent, newName, old)
    }
    from.entries.delete(name)
    to.entries.set(newName, { node: node.attr.node, cookie: ++this.#lastCookie })
    node.parent = newParent
    if (isDirectory(node) && parent !== newParent) {
      from.attr.nlink--
      to.attr.nlink++
    }
  }

  link(_caller: Caller, id: NodeId, newParent: NodeId, newName: ByteString): Attr {
    const directory = this.#directory(newParent)
    if (directory.entries.has(newName)) throw EEXIST
    const node = this.#node(id)
    directory.entries.set(newName, { node: id, cookie: ++this.#lastCookie })
    node.attr.nlink++
    node.references++
    return node.attr
  }

  open(_caller: Caller, id: NodeId): Opened {
    const node = this.#node(id)
    node.opens++
    const { passthrough } = this.#options
    const isPassed = passthrough !== undefined && this.#directory(ROOT_NODE).entries.get(passthrough.name)?.node === id
    return isPassed ? { cache: 'keep', passthrough: { key: passthrough.name, fd: passthrough.fd } } : { cache: 'keep' }
  }

  create(caller: Caller, parent: NodeId, name: ByteString, mode: number): Attr & { opened: Opened } {
    const node = this.#add(parent, name, S_IFREG | mode, caller)
    node.references++
    return { ...node.attr, opened: this.open(caller, node.attr.node) }
  }

  tmpfile(caller: Caller, _parent: NodeId, mode: number): Attr & { opened: Opened } {
    const id = ++this.#lastNode
    const node = newNode(id, S_IFREG | mode, caller.uid, caller.gid)
    node.attr.nlink = 0
    node.references++
    this.#nodes.set(id, node)
    return { ...node.attr, opened: this.open(caller, id) }
  }

  release(id: NodeId): void {
    const node = this.#node(id)
    node.opens--
    this.#collect(node)
  }

  read(_caller: Caller, id: NodeId, offset: number, size: number, into: Buffer, at: number): number {
    const node = this.#node(id)
    const length = Math.max(0, Math.min(size, node.attr.size - offset))
    return node.contents.copy(into, at, offset, offset + length)
  }

  write(_caller: Caller, id: NodeId, offset: number, data: Buffer, flags: { killSuidgid: boolean }): number {
    const node = this.#node(id)
    const end = offset + data.length
    if (end > node.contents.length) {
      const grown = Buffer.alloc(Math.max(end, node.contents.length * 2))
      node.contents.copy(grown)
      node.contents = grown
    }
    data.copy(node.contents, offset)
    node.attr.size = Math.max(node.attr.size, end)
    if (flags.killSuidgid) node.attr.mode &= ~0o6000
    setTime(node.attr, 'mtime', clock())
    return data.length
  }

  async fsync(_caller: Caller, id: NodeId): Promise<void> {
    this.#node(id)
    this.fsyncs++
    await new Promise((resolve) => setImmediate(resolve))
  }

  readdir(_caller: Caller, id: NodeId, offset: number, plus: boolean, emit: EmitDirent): void {
    const directory = this.#directory(id)
    if (offset < 1 && !emit('.', id, S_IFDIR >> 12, 1, null)) return
    if (offset < 2 && !emit('..', directory.parent, S_IFDIR >> 12, 2, null)) return
    for (const [name, { node: child, cookie }] of directory.entries) {
      if (cookie <= offset) continue
      const node = this.#node(child)
      if (!emit(name, child, node.attr.mode >> 12, cookie, plus ? node.attr : null)) return
      if (plus) node.references++
    }
  }

  statfs() {
    return { blockSize: 4096, blocks: 1000, blocksFree: 900, files: 100, filesFree: 90, nameMax: 255 }
  }

  getxattr(_caller: Caller, id: NodeId, name: ByteString): Buffer {
    const value = this.#node(id).xattrs.get(name)
    if (value === undefined) throw ENODATA
    return value
  }

  setxattr(_caller: Caller, id: NodeId, name: ByteString, value: Buffer, flags: number): void {
    const { xattrs } = this.#node(id)
    if (!name.startsWith('user.')) throw EOPNOTSUPP
    if (flags === 1 && xattrs.has(name)) throw EEXIST
    if (flags === 2 && !xattrs.has(name)) throw ENODATA
    xattrs.set(name, Buffer.from(value))
  }

  listxattr(_caller: Caller, id: NodeId): ByteString[] {
    return [...this.#node(id).xattrs.keys()]
  }

  removexattr(_caller: Caller, id: NodeId, name: ByteString): void {
    if (!this.#node(id).xattrs.delete(name)) throw ENODATA
  }

  fallocate(_caller: Caller, id: NodeId, offset: number, length: number, mode: number): void {
    if (mode !== 0) throw EOPNOTSUPP
    const node = this.#node(id)
    if (offset + length > node.attr.size) this.setattr(_caller, id, { size: offset + length })
  }

  lseek(_caller: Caller, id: NodeId, offset: number, whence: number): number {
    const { size } = this.#node(id).attr
    if (offset >= size) throw ENXIO
    return whence === 3 ? offset : size
  }

  copyFileRange(
    caller: Caller,
    from: NodeId,
    fromOffset: number,
    to: NodeId,
    toOffset: number,
    length: number,
  ): number {
    const source = this.#node(from)
    const end = Math.min(source.attr.size, fromOffset + length)
    if (end <= fromOffset) return 0
    return this.write(caller, to, toOffset, Buffer.from(source.contents.subarray(fromOffset, end)), {
      killSuidgid: false,
    })
  }

  attach(notifier: Notifier | null): void {
    this.notifier = notifier
  }

  /** Something that the kernel did not do itself. */
  replaceBehind(name: ByteString, contents: Buffer): void {
    const node = this.#child(ROOT_NODE, name)
    node.contents = Buffer.from(contents)
    node.attr.size = contents.length
    this.notifier?.nodeChanged(node.attr.node, true)
  }

  removeBehind(name: ByteString): void {
    this.#remove(ROOT_NODE, name, this.#child(ROOT_NODE, name))
    this.notifier?.entryChanged(ROOT_NODE, name)
  }

  addBehind(name: ByteString): void {
    this.#add(ROOT_NODE, name, S_IFREG | 0o644, { uid: 0, gid: 0, pid: 0 })
    this.notifier?.entryChanged(ROOT_NODE, name)
  }

  #node(id: NodeId): Node {
    const node = this.#nodes.get(id)
    if (node === undefined) throw ESTALE
    return node
  }

  #directory(id: NodeId): Node {
    const node = this.#node(id)
    if (!isDirectory(node)) throw ENOTDIR
    return node
  }

  #child(parent: NodeId, name: ByteString): Node {
    const entry = this.#directory(parent).entries.get(name)
    if (entry === undefined) throw ENOENT
    return this.#node(entry.node)
  }

  #add(parent: NodeId, name: ByteString, mode: number, caller: Caller): Node {
    const directory = this.#directory(parent)
    if (directory.attr.nlink === 0) throw ENOENT
    if (directory.entries.has(name)) throw EEXIST
    if ((mode & S_IFMT) === 0) throw EINVAL
    const node = newNode(++this.#lastNode, mode, caller.uid, caller.gid)
    node.parent = parent
    this.#nodes.set(node.attr.node, node)
    directory.entries.set(name, { node: node.attr.node, cookie: ++this.#lastCookie })
    if (isDirectory(node)) directory.attr.nlink++
    setTime(directory.attr, 'mtime', clock())
    return node
  }

  #remove(parent: NodeId, name: ByteString, node: Node): void {
    const directory = this.#directory(parent)
    directory.entries.delete(name)
    setTime(directory.attr, 'mtime', clock())
    if (isDirectory(node)) {
      directory.attr.nlink--
      node.attr.nlink = 0
    } else node.attr.nlink--
    setTime(node.attr, 'ctime', clock())
    this.#collect(node)
  }

  #collect(node: Node): void {
    if (node.attr.nlink === 0 && node.references <= 0 && node.opens <= 0) this.#nodes.delete(node.attr.node)
  }
}
