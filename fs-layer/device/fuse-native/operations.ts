import { EIO, Errno } from '../../protocol/errno.ts'
import type { Attr, Caller, Filesystem, NodeId, SetAttr } from '../../protocol/filesystem.ts'
import type { Log } from '../../protocol/log.ts'
import type { Operations } from './binding.ts'
import { byteString, text, withNode, withParent } from './walk.ts'

type Done<T> = (errno: number, result?: T) => void

/**
 * The path-based calls of the package, answered by a `Filesystem`. Whoever calls is not told to us, so new files
 * belong to `owner`.
 */
export function createOperations(
  filesystem: Filesystem,
  { uid, gid }: { readonly uid: number; readonly gid: number },
  log: Log,
): Operations {
  const caller: Caller = { uid, gid, pid: process.pid }
  const handles = createHandles()

  return {
    statfs: (_path: string, done: Done<object>) =>
      answer(done, () => {
        const { blockSize, blocks, blocksFree, files, filesFree, nameMax } = filesystem.statfs(caller)
        const free = { bfree: blocksFree, bavail: blocksFree, ffree: filesFree, favail: filesFree }
        return { bsize: blockSize, frsize: blockSize, blocks, files, namemax: nameMax, ...free }
      }),
    getattr: (path: string, done: Done<object>) =>
      answer(done, () => at(path, (node) => stat(filesystem.getattr(caller, node)))),
    readlink: (path: string, done: Done<string>) =>
      answer(done, () => at(path, (node) => text(filesystem.readlink(caller, node)))),
    readdir: (path: string, done: Done<string[]>) => answer(done, () => at(path, list)),

    mknod: (path: string, mode: number, rdev: number, done: Done<void>) =>
      make(done, path, (parent, name) => filesystem.mknod(caller, parent, name, mode, rdev)),
    mkdir: (path: string, mode: number, done: Done<void>) =>
      make(done, path, (parent, name) => filesystem.mkdir(caller, parent, name, mode & 0o7777)),
    symlink: (target: string, path: string, done: Done<void>) =>
      make(done, path, (parent, name) => filesystem.symlink(caller, parent, name, byteString(target))),
    link: (from: string, path: string, done: Done<void>) =>
      make(done, path, (parent, name) => at(from, (node) => filesystem.link(caller, node, parent, name))),
    unlink: (path: string, done: Done<void>) =>
      answer(done, () => beside(path, (parent, name) => filesystem.unlink(caller, parent, name))),
    rmdir: (path: string, done: Done<void>) =>
      answer(done, () => beside(path, (parent, name) => filesystem.rmdir(caller, parent, name))),
    rename: (from: string, to: string, done: Done<void>) =>
      answer(done, () =>
        beside(from, (parent, name) =>
          beside(to, (newParent, newName) => filesystem.rename(caller, parent, name, newParent, newName, 0)),
        ),
      ),

    chmod: (path: string, mode: number, done: Done<void>) => set(done, path, { mode: mode & 0o7777 }),
    chown: (path: string, uid: number, gid: number, done: Done<void>) =>
      set(done, path, {
        ...(uid === UNCHANGED ? {} : { uid }),
        ...(gid === UNCHANGED ? {} : { gid }),
        killSuidgid: true,
      }),
    truncate: (path: string, size: number, done: Done<void>) => set(done, path, { size }),
    ftruncate: (_path: string, handle: number, size: number, done: Done<void>) =>
      answerLater(done, () => withoutValue(filesystem.setattr(caller, handles.node(handle), { size }))),
    // The package hands over the time of access twice: a fault of its own that cannot be mended from here.
    utimens: (path: string, atimeMs: number, mtimeMs: number, done: Done<void>) =>
      set(done, path, { atime: time(atimeMs), mtime: time(mtimeMs) }),

    open: (path: string, flags: number, done: Done<number>) =>
      answer(done, () =>
        at(path, (node) => {
          filesystem.open(caller, node, flags)
          return handles.add(node, flags)
        }),
      ),
    create: (path: string, mode: number, done: Done<number>) =>
      answer(done, () =>
        beside(path, (parent, name) => {
          const made = filesystem.create(caller, parent, name, mode & 0o7777, O_RDWR)
          filesystem.forget(made.node, 1)
          return handles.add(made.node, O_RDWR)
        }),
      ),
    release: (_path: string, handle: number, done: Done<void>) =>
      answer(done, () => {
        const { node, flags } = handles.remove(handle)
        filesystem.release(node, flags)
      }),
    read: (_path: string, handle: number, into: Buffer, size: number, offset: number, done: Done<number>) =>
      count(done, () => filesystem.read(caller, handles.node(handle), offset, size, into, 0)),
    write: (_path: string, handle: number, data: Buffer, size: number, offset: number, done: Done<number>) =>
      answerLater<number>(
        (errno, bytes) => done(errno === 0 ? (bytes ?? 0) : errno),
        () => filesystem.write(caller, handles.node(handle), offset, data.subarray(0, size), { killSuidgid: true }),
      ),
    fsync: (_path: string, dataOnly: number, handle: number, done: Done<void>) =>
      answerLater(done, () => filesystem.fsync(caller, handles.node(handle), dataOnly !== 0)),
    fsyncdir: (path: string, dataOnly: number, _handle: number, done: Done<void>) =>
      answerLater(done, () => at(path, (node) => filesystem.fsync(caller, node, dataOnly !== 0))),

    setxattr: (path: string, name: string, value: Buffer, _position: number, flags: number, done: Done<void>) =>
      answer(done, () => at(path, (node) => filesystem.setxattr(caller, node, byteString(name), value, flags))),
    getxattr: (path: string, name: string, _position: number, done: Done<Buffer>) =>
      answer(done, () => at(path, (node) => filesystem.getxattr(caller, node, byteString(name)))),
    listxattr: (path: string, done: Done<string[]>) =>
      answer(done, () => at(path, (node) => filesystem.listxattr(caller, node).map(text))),
    removexattr: (path: string, name: string, done: Done<void>) =>
      answer(done, () => at(path, (node) => filesystem.removexattr(caller, node, byteString(name)))),
  }

  function at<T>(path: string, use: (node: NodeId) => T): T {
    return withNode(filesystem, caller, path, use)
  }

  function beside<T>(path: string, use: (parent: NodeId, name: string) => T): T {
    return withParent(filesystem, caller, path, use)
  }

  /** The reference that comes with a new entry is not needed: every call walks anew. */
  function make(done: Done<void>, path: string, create: (parent: NodeId, name: string) => Attr): void {
    answer(done, () => beside(path, (parent, name) => filesystem.forget(create(parent, name).node, 1)))
  }

  function set(done: Done<void>, path: string, change: SetAttr): void {
    answerLater(done, () => at(path, (node) => withoutValue(filesystem.setattr(caller, node, change))))
  }

  function list(node: NodeId): string[] {
    const names: string[] = []
    filesystem.readdir(caller, node, 0, false, (name) => {
      names.push(text(name))
      return true
    })
    return names
  }

  /** Reads and writes say how many bytes where all others have the error. */
  function count(done: Done<number>, call: () => number): void {
    answer((errno, bytes) => done(errno === 0 ? (bytes ?? 0) : errno), call)
  }

  function answer<T>(done: Done<T>, call: () => T): void {
    let result: T
    try {
      result = call()
    } catch (thrown) {
      done(-errorNumber(thrown))
      return
    }
    done(0, result)
  }

  function answerLater<T>(done: Done<T>, call: () => T | Promise<T>): void {
    const fail = (thrown: unknown) => done(-errorNumber(thrown))
    try {
      const result = call()
      if (result instanceof Promise) result.then((value) => done(0, value), fail)
      else done(0, result)
    } catch (thrown) {
      fail(thrown)
    }
  }

  function errorNumber(thrown: unknown): number {
    if (thrown instanceof Errno) return thrown.code
    log('error', 'request failed by a fault of the filesystem', { error: thrown })
    return EIO.code
  }
}

function withoutValue(result: unknown): void | Promise<void> {
  if (result instanceof Promise) return result.then(() => undefined)
}

/** Open files by the number that the kernel knows them by: after an unlink there is no path to find them. */
function createHandles() {
  const open = new Map<number, { node: NodeId; flags: number }>()
  let last = 0
  return {
    add(node: NodeId, flags: number): number {
      open.set(++last, { node, flags })
      return last
    },
    node: (handle: number): NodeId => entry(handle).node,
    remove(handle: number) {
      const found = entry(handle)
      open.delete(handle)
      return found
    },
  }
  function entry(handle: number) {
    const found = open.get(handle)
    if (found === undefined) throw Errno.of('EBADF')
    return found
  }
}

const O_RDWR = 2
/** `(uid_t) -1`. */
const UNCHANGED = 0xffffffff

function stat(attr: Attr): object {
  return {
    ino: attr.node,
    mode: attr.mode,
    nlink: attr.nlink,
    uid: attr.uid,
    gid: attr.gid,
    rdev: attr.rdev,
    size: attr.size,
    blksize: 4096,
    blocks: attr.blocks,
    atime: attr.atime * 1000 + attr.atimeNsec / 1e6,
    mtime: attr.mtime * 1000 + attr.mtimeNsec / 1e6,
    ctime: attr.ctime * 1000 + attr.ctimeNsec / 1e6,
  }
}

function time(ms: number): { sec: number; nsec: number } {
  const sec = Math.floor(ms / 1000)
  return { sec, nsec: Math.round((ms - sec * 1000) * 1e6) }
}
