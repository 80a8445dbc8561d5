import type { Attr, Filesystem, Notifier } from '../protocol/filesystem.ts'
import type { ToldNumbers } from './told-numbers.ts'

/** The same filesystem, with other numbers for its inodes and for the places in its listings. */
export function disguise(filesystem: Filesystem, { tell, meant }: ToldNumbers): Filesystem {
  return {
    lookup: (caller, parent, name) => {
      const attr = filesystem.lookup(caller, meant(parent), name)
      return attr === null ? null : told(attr)
    },
    forget: (node, count) => filesystem.forget(meant(node), count),
    getattr: (caller, node, withBirth) => told(filesystem.getattr(caller, meant(node), withBirth)),
    setattr: (caller, node, set) => {
      const attr = filesystem.setattr(caller, meant(node), set)
      return attr instanceof Promise ? attr.then(told) : told(attr)
    },
    readlink: (caller, node) => filesystem.readlink(caller, meant(node)),
    symlink: (caller, parent, name, target) => told(filesystem.symlink(caller, meant(parent), name, target)),
    mknod: (caller, parent, name, mode, rdev) => told(filesystem.mknod(caller, meant(parent), name, mode, rdev)),
    mkdir: (caller, parent, name, mode) => told(filesystem.mkdir(caller, meant(parent), name, mode)),
    unlink: (caller, parent, name) => filesystem.unlink(caller, meant(parent), name),
    rmdir: (caller, parent, name) => filesystem.rmdir(caller, meant(parent), name),
    rename: (caller, parent, name, newParent, newName, flags) =>
      filesystem.rename(caller, meant(parent), name, meant(newParent), newName, flags),
    link: (caller, node, newParent, newName) => told(filesystem.link(caller, meant(node), meant(newParent), newName)),
    open: (caller, node, flags) => filesystem.open(caller, meant(node), flags),
    create: (caller, parent, name, mode, flags) => told(filesystem.create(caller, meant(parent), name, mode, flags)),
    tmpfile: (caller, parent, mode, flags) => told(filesystem.tmpfile(caller, meant(parent), mode, flags)),
    release: (node, flags) => filesystem.release(meant(node), flags),
    read: (caller, node, offset, size, into, at) => filesystem.read(caller, meant(node), offset, size, into, at),
    write: (caller, node, offset, data, flags) => filesystem.write(caller, meant(node), offset, data, flags),
    fsync: (caller, node, dataOnly) => filesystem.fsync(caller, meant(node), dataOnly),
    readdir: (caller, node, offset, plus, emit) =>
      filesystem.readdir(caller, meant(node), meant(offset), plus, (name, entry, typeBits, next, attr) =>
        emit(name, tell(entry), typeBits, tell(next), attr === null ? null : told(attr)),
      ),
    statfs: (caller) => filesystem.statfs(caller),
    getxattr: (caller, node, name) => filesystem.getxattr(caller, meant(node), name),
    setxattr: (caller, node, name, value, flags) => filesystem.setxattr(caller, meant(node), name, value, flags),
    listxattr: (caller, node) => filesystem.listxattr(caller, meant(node)),
    removexattr: (caller, node, name) => filesystem.removexattr(caller, meant(node), name),
    fallocate: (caller, node, offset, length, mode) => filesystem.fallocate(caller, meant(node), offset, length, mode),
    lseek: (caller, node, offset, whence) => filesystem.lseek(caller, meant(node), offset, whence),
    copyFileRange: (caller, from, at, to, toOffset, length) =>
      filesystem.copyFileRange(caller, meant(from), at, meant(to), toOffset, length),
    attach: (notifier) => filesystem.attach(notifier === null ? null : disguisedNotifier(notifier)),
  }

  /** In place: an answer is made for one request, and is not looked at again. */
  function told<T extends Attr>(attr: T): T {
    ;(attr as { node: number }).node = tell(attr.node)
    return attr
  }

  function disguisedNotifier(notifier: Notifier): Notifier {
    return {
      entryChanged: (parent, name) => notifier.entryChanged(tell(parent), name),
      nodeChanged: (node, contents) => notifier.nodeChanged(tell(node), contents),
      stored: (node, offset, data) => notifier.stored(tell(node), offset, data),
      prune: (nodes) =>
        notifier.prune(nodes.map(({ node, parent, name }) => ({ node: tell(node), parent: tell(parent), name }))),
      flush: () => notifier.flush(),
    }
  }
}
