import { FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE, SEEK_DATA } from '../delta/holes.ts'
import type { Inode } from '../delta/inode.ts'
import { READ, WRITE } from '../policy/rule.ts'
import { EINVAL, EISDIR, ENXIO, EOPNOTSUPP, EXDEV } from '../protocol/errno.ts'
import type { Caller, NodeId, WriteFlags } from '../protocol/filesystem.ts'
import type { Access } from './access.ts'
import { killSuidgid } from './apply-attributes.ts'
import type { Overlay } from './overlay.ts'
import { stampModified } from './stamp.ts'

/**
 * These requests have no flag that says whether the set-user-id bit must go, as WRITE has. The kernel wants it unless the
 * caller has CAP_FSETID (FUSE_HANDLE_KILLPRIV_V2), which nobody but root has.
 */
const killsUnlessRoot = (caller: Caller): WriteFlags => ({ killSuidgid: caller.uid !== 0 })

/** The calls of a view that read and change the contents of files. Each asks anew whether it may. */
export class FileCalls {
  readonly #overlay: Overlay
  readonly #access: Access

  constructor(overlay: Overlay, access: Access) {
    this.#overlay = overlay
    this.#access = access
  }

  read(node: NodeId, offset: number, size: number, into: Buffer, at: number): number {
    const inode = this.#readable(node)
    if (inode.isDirectory) throw EISDIR
    this.#access.observer?.used(inode, 'read')
    inode.wasOpen = true
    return this.#overlay.contents.read(inode, offset, size, into, at)
  }

  write(caller: Caller, node: NodeId, offset: number, data: Buffer, flags: WriteFlags): number | Promise<number> {
    const inode = this.#writable(node)
    const copied = this.#overlay.contents.copyUpBeside(inode)
    if (copied !== null) {
      // The device's buffers are its own again when this returns. All is checked anew then.
      const [later, bytes, how] = [{ ...caller }, Buffer.from(data), { ...flags }]
      return copied.then(() => this.write(later, node, offset, bytes, how))
    }
    this.#overlay.contents.write(inode, offset, data)
    this.#written(inode, flags)
    return data.length
  }

  async fsync(node: NodeId, dataOnly: boolean): Promise<void> {
    const { contents, delta } = this.#overlay
    const inode = this.#overlay.inode(node)
    // fdatasync(2) wants only what it takes to read the data back: with a file of its own, its size among it.
    if (dataOnly && inode.foundInFile) await contents.sync(inode)
    else await Promise.all([contents.sync(inode), delta.flush(true)])
  }

  fallocate(caller: Caller, node: NodeId, offset: number, length: number, mode: number): void | Promise<void> {
    const inode = this.#writable(node)
    if (mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) throw EOPNOTSUPP
    const copied = this.#overlay.contents.copyUpBeside(inode)
    if (copied !== null) {
      const later = { ...caller }
      return copied.then(() => this.fallocate(later, node, offset, length, mode))
    }
    this.#overlay.contents.allocate(inode, offset, length, mode)
    this.#written(inode, killsUnlessRoot(caller))
  }

  lseek(node: NodeId, offset: number, whence: number): number {
    const inode = this.#readable(node)
    this.#access.observer?.used(inode, 'read')
    if (offset < 0 || offset >= inode.size) throw ENXIO
    const found = this.#overlay.contents.seek(inode, offset, whence)
    if (found >= inode.size && whence === SEEK_DATA) throw ENXIO
    return found
  }

  copyRange(caller: Caller, from: NodeId, fromOffset: number, to: NodeId, toOffset: number, length: number): number {
    const source = this.#readable(from)
    if (!source.isFile) throw EINVAL
    const target = this.#writable(to)
    // The kernel falls back to reading and writing, and the write waits.
    if (this.#overlay.contents.copyUpBeside(target) !== null) throw EXDEV
    this.#access.observer?.used(source, 'read')
    const copied = this.#overlay.contents.copy(source, fromOffset, target, toOffset, length)
    if (copied > 0) this.#written(target, killsUnlessRoot(caller))
    return copied
  }

  #readable(node: NodeId): Inode {
    const inode = this.#access.visible(node)
    this.#access.need(inode, READ)
    return inode
  }

  #writable(node: NodeId): Inode {
    const inode = this.#access.visible(node)
    this.#access.need(inode, WRITE)
    if (!inode.isFile) throw EINVAL
    return inode
  }

  #written(inode: Inode, flags: WriteFlags): void {
    if (flags.killSuidgid) killSuidgid(inode)
    if (!flags.keepTimes) stampModified(inode)
    this.#overlay.changed(inode)
    inode.wasOpen = true
    this.#access.observer?.modified(inode)
  }
}
