import { constants, fstatSync, ftruncateSync, renameSync, rmSync } from 'node:fs'
import { asErrno, EFBIG, EIO, ENOSPC } from '../protocol/errno.ts'
import type { NodeId } from '../protocol/filesystem.ts'
import type { BackingFiles } from './backing-files.ts'
import { type Blobs, fileOf } from './blobs.ts'
import { copyBlob, copyBlobBeside } from './copy-blob.ts'
import type { Delta } from './delta.ts'
import { BLOCK_BYTES, extraRoom, wholeBlocks } from './extra-room.ts'
import {
  FALLOC_KEEP_SIZE,
  FALLOC_PUNCH_HOLE,
  FALLOC_ZERO_RANGE,
  fallocate,
  holeBytes,
  SEEK_DATA,
  seek,
} from './holes.ts'
import { IN_BASE, IN_FILE, IN_INDEX, type Inode } from './inode.ts'
import {
  CHUNK_BYTES,
  COPY_MAX_BYTES,
  COPY_NOW_MAX_BYTES,
  FILE_MAX_BYTES,
  INLINE_CACHE_BYTES,
  INLINE_MAX_BYTES,
} from './limits.ts'
import { Moments } from './moments.ts'
import type { OpenFiles } from './open-files.ts'
import type { Room } from './room.ts'
import { SmallContents } from './small-contents.ts'
import { syncMoved } from './sync-moved.ts'
import { readFully, writeFully } from './whole-io.ts'

const { O_RDONLY } = constants
const EMPTY = Buffer.alloc(0)

export interface ContentsDependencies {
  readonly store: Blobs
  /** Descriptors of the base's blobs. */
  readonly files: OpenFiles
  readonly backing: BackingFiles
  readonly room: Room
}

/**
 * The bytes of regular files, wherever they are: in the base, in the index, or in a file of the delta's. A
 * file of the base moves into the delta at its first write; a small one moves to a file when it grows.
 *
 * What it takes of the quota is kept with each inode (`charged`): whole blocks of what is in the index or without
 * holes, and what the disk says of a file that may have some.
 */
export class Contents {
  readonly #delta: Delta
  readonly #store: Blobs
  readonly #files: OpenFiles
  readonly #backing: BackingFiles
  readonly #room: Room
  readonly #small = new SmallContents({ maxBytes: INLINE_CACHE_BYTES })
  readonly #copying = new Map<NodeId, Promise<void>>()
  readonly moments: Moments

  constructor(delta: Delta, { store, files, backing, room }: ContentsDependencies) {
    this.#delta = delta
    this.#store = store
    this.#files = files
    this.#backing = backing
    this.#room = room
    const read: Contents['read'] = (inode, offset, size, into, at) => this.read(inode, offset, size, into, at)
    this.moments = new Moments({ dir: delta.dir }, { read, pathOf: (inode) => backing.pathOf(inode), files })
    delta.beforeBatch = (nodes) => syncMoved(nodes, delta.inodes, (inode) => this.sync(inode))
    delta.onFlushed = (nodes) => this.#flushed(nodes)
    delta.onLogged = (nodes) => this.#stored(nodes)
  }

  /** After the delta is loaded: makes files and inodes agree, and counts what they take. */
  recover(isInherited: boolean): void {
    const { inodes } = this.#delta
    this.moments.removeLeftovers()
    this.#backing.removeLeftovers((node) => inodes.get(node)?.place === IN_FILE)
    for (const inode of inodes.values()) {
      if (inode.place === IN_FILE) this.#backing.reconcile(inode, isInherited)
      this.settle(inode)
    }
  }

  read(inode: Inode, offset: number, size: number, into: Buffer, at: number): number {
    const length = Math.min(size, inode.size - offset)
    if (length <= 0) return 0
    if (inode.place === IN_INDEX) return this.#inline(inode).copy(into, at, offset, offset + length)
    if (inode.place === IN_FILE) return readFully(this.#backing.open(inode), into, at, length, offset)
    const blob = this.#blob(inode)
    if ('inline' in blob) return blob.inline.copy(into, at, offset, offset + length)
    try {
      return readFully(this.#files.use(blob.path, O_RDONLY), into, at, length, offset)
    } catch (error) {
      throw this.#store.fault(fileOf(inode).hash, error)
    }
  }

  /** `data` is copied. The caller keeps times and tells the delta that the inode changed. */
  write(inode: Inode, offset: number, data: Buffer): void {
    const end = offset + data.length
    if (end > FILE_MAX_BYTES) throw EFBIG
    this.#room.take(data.length + (inode.place === IN_BASE ? inode.size : 0))
    this.#needRoom(inode, offset, end)
    this.#onDisk(inode, () => {
      if (inode.place === IN_BASE) this.#copyUp(inode, Math.max(inode.size, end), inode.size)
      if (inode.place === IN_INDEX && end > INLINE_MAX_BYTES) this.#spill(inode)
      if (inode.place === IN_INDEX) {
        const contents = this.#reserve(inode, end)
        if (offset > inode.size) contents.fill(0, inode.size, offset)
        data.copy(contents, offset)
        this.#changed(inode)
      } else {
        if (offset > wholeBlocks(inode.size)) inode.sparse = true
        writeFully(this.#backing.open(inode), data, offset)
        this.#backing.written(inode)
      }
      if (end > inode.size) inode.size = end
    })
  }

  /**
   * Before a write to a large file of the base: copies it on another thread, and until that is done it is read from
   * the base. The same for one whose contents of a moment ago somebody still has to read. Null where nothing has to be
   * copied, or so little that the write may do it.
   */
  copyUpBeside(inode: Inode): Promise<void> | null {
    if (inode.place === IN_FILE) return this.moments.copyBeside(inode)
    if (inode.place !== IN_BASE || inode.size <= COPY_NOW_MAX_BYTES) return null
    const underWay = this.#copying.get(inode.node)
    if (underWay !== undefined) return underWay
    const blob = this.#blob(inode)
    if (!('path' in blob)) return null
    this.#delta.usage.needBytes(wholeBlocks(inode.size))
    this.#room.take(inode.size)
    const copying = this.#copyBeside(inode, blob.path).finally(() => this.#copying.delete(inode.node))
    this.#copying.set(inode.node, copying)
    return copying
  }

  truncate(inode: Inode, size: number): void {
    if (size > FILE_MAX_BYTES) throw EFBIG
    const kept = Math.min(size, inode.size)
    if (inode.place === IN_BASE) this.#delta.usage.needBytes(wholeBlocks(kept))
    else if (inode.place === IN_INDEX)
      this.#delta.usage.needBytes(wholeBlocks(Math.min(size, INLINE_MAX_BYTES)) - inode.charged)
    this.#onDisk(inode, () => {
      if (inode.place === IN_BASE) this.#copyUp(inode, size, kept)
      if (inode.place === IN_INDEX && size > INLINE_MAX_BYTES) this.#spill(inode)
      if (inode.place === IN_INDEX) {
        const contents = this.#reserve(inode, size)
        if (size > inode.size) contents.fill(0, inode.size, size)
        this.#changed(inode)
      } else {
        if (size > inode.size) inode.sparse = true
        else if (size === 0) inode.sparse = false
        ftruncateSync(this.#backing.open(inode), size)
        this.#backing.written(inode)
      }
      inode.size = size
    })
  }

  /** As fallocate(2). What is set aside counts at once. */
  allocate(inode: Inode, offset: number, length: number, mode: number): void {
    const end = offset + length
    if (end > FILE_MAX_BYTES) throw EFBIG
    if (mode & FALLOC_PUNCH_HOLE) return this.#zero(inode, offset, end, mode)
    this.#room.take(length)
    this.#needRoom(inode, offset, end)
    if (mode & FALLOC_ZERO_RANGE) this.#zero(inode, offset, end, mode)
    else if (end > INLINE_MAX_BYTES)
      this.#inFile(inode, () => fallocate(this.#backing.open(inode), mode, offset, length))
    if (!(mode & FALLOC_KEEP_SIZE) && end > inode.size) this.truncate(inode, end)
  }

  /** Where the next data (SEEK_DATA) or hole (SEEK_HOLE) is; `offset` is within the file. */
  seek(inode: Inode, offset: number, whence: number): number {
    if (inode.place !== IN_FILE || !inode.sparse) return whence === SEEK_DATA ? offset : inode.size
    return seek(this.#backing.open(inode), offset, whence, inode.size)
  }

  /** Copies at most `length` bytes, and at most `COPY_MAX_BYTES`; returns how many. */
  copy(from: Inode, fromOffset: number, to: Inode, toOffset: number, length: number): number {
    const wanted = Math.min(length, COPY_MAX_BYTES)
    const chunk = Buffer.allocUnsafe(Math.min(wanted, CHUNK_BYTES))
    let done = 0
    while (done < wanted) {
      const got = this.read(from, fromOffset + done, Math.min(chunk.length, wanted - done), chunk, 0)
      if (got === 0) break
      this.write(to, toOffset + done, chunk.subarray(0, got))
      done += got
    }
    return done
  }

  /** A new file's: empty, small. */
  create(inode: Inode): void {
    inode.place = IN_INDEX
    inode.size = 0
    this.#small.put(inode, EMPTY)
    this.#changed(inode)
  }

  /** Frees what the delta holds of a node that is gone. */
  remove(inode: Inode): void {
    this.moments.beforeRemoval(inode)
    this.#small.drop(inode)
    inode.inlineDirty = false
    this.#delta.usage.settle(inode, 0)
    if (inode.place !== IN_FILE) return
    // Only when the index on disk does not name it any more: a crash before that must find the file.
    this.#delta.afterDurable(this.#backing.removal(inode))
  }

  /** Resolves when the bytes written so far are on the disk, but for those the index holds. */
  async sync(inode: Inode): Promise<void> {
    if (inode.place === IN_FILE) await this.#backing.sync(inode)
  }

  /** The same for every file written since the last time. */
  async syncAll(): Promise<void> {
    await Promise.allSettled(this.#copying.values())
    await this.#backing.syncAll()
  }

  /** Every open descriptor of this delta is closed; it must be flushed. */
  close(): void {
    this.moments.closeAll()
    for (const inode of this.#delta.inodes.values()) if (inode.place === IN_FILE) this.#backing.forget(inode)
  }

  /** Throws EDQUOT where the bytes from one offset to another may not be written. */
  #needRoom(inode: Inode, from: number, end: number): void {
    const { usage } = this.#delta
    const leavesHole = from > wholeBlocks(inode.size) && end > INLINE_MAX_BYTES
    const has = inode.charged - extraRoom(inode)
    if (!leavesHole && !inode.sparse) return usage.needBytes(wholeBlocks(Math.max(inode.size, end)) - has)
    const first = from - (from % BLOCK_BYTES)
    const most = wholeBlocks(end) - first
    if (inode.place !== IN_FILE) return usage.needBytes(wholeBlocks(inode.size) - has + most)
    if (usage.bytes + most <= (usage.quota.bytes ?? Number.POSITIVE_INFINITY)) return
    usage.needBytes(holeBytes(this.#backing.open(inode), first, wholeBlocks(end)))
  }

  /** Counts what an inode takes: after a change of anything that takes room. */
  settle(inode: Inode): void {
    this.#delta.usage.settle(inode, this.#roomOf(inode) + extraRoom(inode))
  }

  #roomOf(inode: Inode): number {
    if (!inode.isFile || inode.place === IN_BASE) return 0
    if (inode.place === IN_INDEX || !inode.sparse) return wholeBlocks(inode.size)
    return fstatSync(this.#backing.open(inode)).blocks * 512
  }

  /** Runs a change of contents; a failure of the disk is the caller's, and leaves nothing beyond the size. */
  #onDisk(inode: Inode, change: () => void): void {
    this.moments.beforeChange(inode)
    try {
      change()
    } catch (error) {
      if (inode.place === IN_FILE && asErrno(error) === ENOSPC) ftruncateSync(this.#backing.open(inode), inode.size)
      throw asErrno(error)
    } finally {
      this.settle(inode)
    }
  }

  /** A change that only a file of its own can have. `call` is false where the disk cannot do it: nothing is set aside then. */
  #inFile(inode: Inode, call: () => boolean): boolean {
    let done = false
    this.#onDisk(inode, () => {
      if (inode.place === IN_BASE) this.#copyUp(inode, Math.max(inode.size, INLINE_MAX_BYTES + 1), inode.size)
      if (inode.place === IN_INDEX) this.#spill(inode)
      inode.sparse = true
      this.#backing.written(inode)
      done = call()
    })
    return done
  }

  /** Zeros from one offset to another, as holes where there is a file for them. */
  #zero(inode: Inode, from: number, end: number, mode: number): void {
    const to = Math.min(end, inode.size)
    const keeps = (mode & FALLOC_KEEP_SIZE) !== 0
    const inFile = inode.place === IN_FILE || (inode.place === IN_BASE && inode.size > INLINE_MAX_BYTES)
    if (inFile && this.#inFile(inode, () => fallocate(this.#backing.open(inode), mode, from, end - from))) {
      if (!keeps && end > inode.size) inode.size = end
      return
    }
    const zeros = Buffer.alloc(Math.min(CHUNK_BYTES, Math.max(0, to - from)))
    for (let at = from; at < to; at += zeros.length)
      this.write(inode, at, zeros.subarray(0, Math.min(zeros.length, to - at)))
  }

  #blob(inode: Inode): { inline: Buffer } | { path: string } {
    return this.#store.blobSync(fileOf(inode).hash)
  }

  /** Brings the first `keep` bytes into the delta, for a file that will have `size`. */
  #copyUp(inode: Inode, size: number, keep: number): void {
    if (size <= INLINE_MAX_BYTES) {
      const contents = Buffer.alloc(size)
      this.read(inode, 0, keep, contents, 0)
      inode.place = IN_INDEX
      inode.size = keep
      this.#small.put(inode, contents)
      this.#changed(inode)
      return
    }
    const blob = keep > 0 ? this.#blob(inode) : { inline: EMPTY }
    const to = this.#backing.prepare(inode)
    if ('path' in blob) {
      try {
        copyBlob(blob.path, to, keep)
      } catch (error) {
        throw this.#store.fault(fileOf(inode).hash, error)
      }
      ftruncateSync(this.#backing.open(inode), keep)
    } else {
      writeFully(this.#backing.open(inode), blob.inline.subarray(0, keep), 0)
    }
    this.#movedToFile(inode)
    inode.size = keep
  }

  async #copyBeside(inode: Inode, from: string): Promise<void> {
    const to = this.#backing.prepare(inode)
    const partial = `${to}.copy`
    try {
      await copyBlobBeside(from, partial, fileOf(inode).size)
    } catch (error) {
      throw this.#store.fault(fileOf(inode).hash, error)
    }
    // It may have been emptied, and so have left the base, in the meantime.
    if (inode.place === IN_BASE) {
      renameSync(partial, to)
      this.#movedToFile(inode)
      this.settle(inode)
    } else rmSync(partial)
  }

  #spill(inode: Inode): void {
    const contents = this.#inline(inode).subarray(0, inode.size)
    this.#backing.prepare(inode)
    const fd = this.#backing.open(inode)
    ftruncateSync(fd, 0)
    writeFully(fd, contents, 0)
    this.#small.drop(inode)
    inode.inlineDirty = false
    const wasDurable = inode.stored || inode.entry !== null
    this.#movedToFile(inode)
    inode.unsafeUntilSynced = wasDurable
    this.#delta.contentChanged(inode)
  }

  /** What was durable elsewhere must be in the file before the index says that it is there: see `syncMoved`. */
  #movedToFile(inode: Inode): void {
    inode.place = IN_FILE
    inode.sparse = false
    inode.stored = false
    inode.unsafeUntilSynced = true
    this.#backing.written(inode)
  }

  #inline(inode: Inode): Buffer {
    if (inode.inline === null) {
      const stored = this.#delta.readContent(inode.node)
      if (stored === undefined || stored.length < inode.size) throw EIO
      this.#small.put(inode, stored)
      return stored
    }
    return inode.inline
  }

  /** Grows by doubling, so that a file written in small pieces is not copied for each. */
  #reserve(inode: Inode, size: number): Buffer {
    const contents = this.#inline(inode)
    if (contents.length >= size) return contents
    const grown = Buffer.allocUnsafeSlow(Math.min(INLINE_MAX_BYTES, Math.max(size, contents.length * 2)))
    contents.copy(grown, 0, 0, inode.size)
    this.#small.put(inode, grown)
    return grown
  }

  #changed(inode: Inode): void {
    inode.inlineDirty = true
    this.#delta.contentChanged(inode)
  }

  #flushed(nodes: ReadonlySet<NodeId>): void {
    for (const inode of this.#stored(nodes)) if (!this.#delta.contentIsDirty(inode.node)) inode.inlineDirty = false
    this.#small.shrink()
  }

  /** Of these nodes, those whose small contents can be found again now. */
  #stored(nodes: ReadonlySet<NodeId>): Inode[] {
    const found: Inode[] = []
    for (const node of nodes) {
      const inode = this.#small.get(node)
      // An unlinked file that is still open is in no index: memory is all it has.
      if (inode === undefined || this.#delta.inodes.get(node) !== inode) continue
      inode.stored = true
      found.push(inode)
    }
    return found
  }
}
