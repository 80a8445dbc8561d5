import { OWNER_ID, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../delta/inode.ts'
import { EACCES, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, Errno } from '../protocol/errno.ts'
import type { Attr, ByteString, Caller, NodeId } from '../protocol/filesystem.ts'
import { ROOT_NODE } from '../protocol/filesystem.ts'
import { kindOf, type NodeInfo, type WriteOptions } from './node-info.ts'
import type { View } from './view.ts'

const READ_CHUNK_BYTES = 256 * 1024
const LIST_CHUNK = 512
const O_RDONLY = 0
const NO_SUID = { killSuidgid: true }

/**
 * Reads and changes of a view from outside, by path. They are the calls that a program inside would make, on
 * the same view, and then the kernel is told. Links are nodes here: nothing is ever followed, so no path leads
 * out of the view.
 */
export class HostAccess {
  readonly #view: View
  readonly #caller: Caller

  constructor(view: View, caller: Caller) {
    this.#view = view
    this.#caller = caller
  }

  stat(path: ByteString): NodeInfo {
    return this.#at(path, (node) => this.#info(path, node))
  }

  *list(path: ByteString, recursive: boolean): Generator<NodeInfo[]> {
    let batch: NodeInfo[] = []
    for (const info of this.#walk(path, recursive)) {
      batch.push(info)
      if (batch.length < LIST_CHUNK) continue
      yield batch
      batch = []
    }
    yield batch
  }

  /** The last piece is returned, not yielded: whoever reads a small file needs no second step to learn of its end. */
  *read(path: ByteString, offset: number, length = Number.POSITIVE_INFINITY): Generator<Buffer, Buffer | undefined> {
    const node = this.#hold(path)
    try {
      const { mode, size } = this.#attr(node)
      if (mode >> 12 === S_IFLNK >> 12) throw EINVAL
      this.#view.open(this.#caller, node, O_RDONLY)
      const end = offset + length
      for (let at = offset; at < end; ) {
        // A byte more than there should be: where it is not filled this is the end.
        const wanted = Math.max(1, size + 1 - at)
        const chunk = Buffer.allocUnsafeSlow(Math.min(READ_CHUNK_BYTES, wanted, end - at))
        const got = this.#view.read(this.#caller, node, at, chunk.length, chunk, 0)
        at += got
        if (got < chunk.length || at === end) return got > 0 ? chunk.subarray(0, got) : undefined
        yield chunk
      }
      return undefined
    } finally {
      this.#view.overlay.letGo(node)
    }
  }

  /** `feed` the bytes, then `finish`; or `abandon`, and nothing has happened. */
  write(path: ByteString, options: WriteOptions): FileWriter {
    if (path === '') throw EISDIR
    if (options.parents) this.#makeParents(path)
    // Refused before the bytes are sent, where it can be known before.
    const { parent, name } = split(path)
    const existing = this.#at(parent, (directory) => this.#child(directory, name, (node) => this.#info(path, node)))
    if (existing !== null && options.exclusive) throw EEXIST
    if (existing?.kind === 'directory') throw EISDIR
    return options.append && existing !== null ? this.#appender(path) : this.#replacer(path, options, existing)
  }

  mkdir(path: ByteString, mode: number): NodeInfo {
    this.#makeParents(`${path}/.`, mode)
    return this.stat(path)
  }

  remove(path: ByteString, recursive: boolean): void {
    if (path === '') throw EACCES
    const { parent, name } = split(path)
    this.#at(parent, (directory) => {
      const info = this.#child(directory, name, (node) => this.#info(path, node))
      if (info === null) throw ENOENT
      if (recursive && info.kind === 'directory') this.#clear(path)
      if (info.kind === 'directory') this.#view.rmdir(this.#caller, directory, name)
      else this.#view.unlink(this.#caller, directory, name)
      this.#entryChanged(directory, name)
    })
  }

  rename(from: ByteString, to: ByteString): void {
    const source = split(from)
    const target = split(to)
    this.#at(source.parent, (parent) => {
      this.#at(target.parent, (newParent) => {
        this.#view.rename(this.#caller, parent, source.name, newParent, target.name, 0)
        this.#entryChanged(parent, source.name)
        this.#entryChanged(newParent, target.name)
      })
    })
  }

  #replacer(path: ByteString, options: WriteOptions, existing: NodeInfo | null): FileWriter {
    const { overlay } = this.#view
    const mode = options.mode ?? (existing?.kind === 'file' ? existing.mode : 0o644)
    const file = overlay.make(S_IFREG | mode, OWNER_ID, OWNER_ID)
    let size = 0
    return {
      feed: (data) => {
        overlay.contents.write(file, size, data)
        size += data.length
      },
      finish: () => {
        const { parent, name } = split(path)
        this.#at(parent, (directory) => {
          this.#view.place(directory, name, file, options.exclusive ?? false)
          this.#entryChanged(directory, name)
        })
        return this.stat(path)
      },
      abandon: () => overlay.discard(file),
    }
  }

  #appender(path: ByteString): FileWriter {
    const gathered: Buffer[] = []
    return {
      feed: (data) => {
        gathered.push(Buffer.from(data))
      },
      finish: async () => {
        const node = this.#hold(path)
        try {
          for (const data of gathered) {
            const end = this.#attr(node).size
            await this.#view.write(this.#caller, node, end, data, NO_SUID)
            this.#view.notifier?.stored(node, end, data)
          }
          const { parent, name } = split(path)
          this.#at(parent, (directory) => this.#entryChanged(directory, name))
          return this.#info(path, node)
        } finally {
          this.#view.overlay.letGo(node)
        }
      },
      abandon: () => {
        gathered.length = 0
      },
    }
  }

  /** Directories of the path, without its last name; those that are missing are made. */
  #makeParents(path: ByteString, mode = 0o755): void {
    const names = path.split('/').slice(0, -1)
    names.forEach((name, index) => {
      this.#at(names.slice(0, index).join('/'), (directory) => {
        const kind = this.#child(directory, name, (node) => this.#attr(node).mode & S_IFMT)
        if (kind === S_IFDIR) return
        if (kind !== null) throw ENOTDIR
        this.#view.overlay.letGo(this.#view.mkdir(this.#caller, directory, name, mode).node)
        this.#entryChanged(directory, name)
      })
    })
  }

  /** Everything below, deepest first. Refused as a whole if a part of it may not be removed. */
  #clear(path: ByteString): void {
    this.#at(path, (node) => {
      const { overlay, visibility } = this.#view
      const directory = overlay.inode(node)
      if (visibility.hasRestrictedBelow(directory, visibility.stateOf(directory))) throw EACCES
    })
    for (const info of [...this.#walk(path, true)].reverse()) {
      const { parent, name } = split(info.path)
      this.#at(parent, (directory) => {
        if (info.kind === 'directory') this.#view.rmdir(this.#caller, directory, name)
        else this.#view.unlink(this.#caller, directory, name)
        this.#entryChanged(directory, name)
      })
    }
  }

  *#walk(path: ByteString, recursive: boolean): Generator<NodeInfo> {
    const names: ByteString[] = []
    const infos = this.#at(path, (node) => {
      this.#view.readdir(this.#caller, node, 0, false, (name) => {
        if (name !== '.' && name !== '..') names.push(name)
        return true
      })
      return names.sort().map((name) => this.#child(node, name, (child) => this.#info(join(path, name), child)))
    })
    for (const info of infos) {
      if (info === null) continue
      yield info
      if (recursive && info.kind === 'directory') yield* this.#walk(info.path, true)
    }
  }

  #at<T>(path: ByteString, use: (node: NodeId) => T): T {
    const node = this.#hold(path)
    try {
      return use(node)
    } finally {
      this.#view.overlay.letGo(node)
    }
  }

  #child<T>(directory: NodeId, name: ByteString, use: (node: NodeId) => T): T | null {
    const node = this.#view.lookup(this.#caller, directory, name)?.node
    if (node === undefined) return null
    try {
      return use(node)
    } finally {
      this.#view.overlay.letGo(node)
    }
  }

  /** The node of a path, with one reference that the caller drops. */
  #hold(path: ByteString): NodeId {
    let node = ROOT_NODE
    this.#view.overlay.reference(this.#view.overlay.root)
    for (const name of path === '' ? [] : path.split('/')) {
      const parent = node
      try {
        const next = this.#view.lookup(this.#caller, parent, name)
        if (next === null) throw ENOENT
        node = next.node
      } finally {
        this.#view.overlay.letGo(parent)
      }
    }
    return node
  }

  #attr(node: NodeId): Attr {
    return this.#view.getattr(this.#caller, node)
  }

  #info(path: ByteString, node: NodeId): NodeInfo {
    const { mode, size, mtime, mtimeNsec, nlink } = this.#attr(node)
    const kind = kindOf(mode)
    const info = { path, kind, size, mode: mode & 0o7777, mtime, mtimeNsec, ino: node, nlink }
    if (kind !== 'symlink') return info
    return { ...info, target: this.#readable(node) }
  }

  /** A link that may be seen but not read shows no target. */
  #readable(node: NodeId): ByteString {
    try {
      return this.#view.readlink(this.#caller, node)
    } catch (error) {
      if (error instanceof Errno && error === EACCES) return ''
      throw error
    }
  }

  #entryChanged(directory: NodeId, name: ByteString): void {
    this.#view.notifier?.entryChanged(directory, name)
    this.#view.notifier?.nodeChanged(directory, true)
  }
}

export interface FileWriter {
  /** Copies the bytes. */
  feed(data: Buffer): void
  finish(): NodeInfo | Promise<NodeInfo>
  abandon(): void
}

function split(path: ByteString): { parent: ByteString; name: ByteString } {
  if (path === '') throw EINVAL
  const slash = path.lastIndexOf('/')
  return slash < 0 ? { parent: '', name: path } : { parent: path.slice(0, slash), name: path.slice(slash + 1) }
}

function join(directory: ByteString, name: ByteString): ByteString {
  return directory === '' ? name : `${directory}/${name}`
}
