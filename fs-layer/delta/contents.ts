import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  fdatasync,
  ftruncateSync,
  mkdirSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { chmod, copyFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { asErrno, EFBIG, EIO } from '../protocol/errno.ts'
import type { NodeId } from '../protocol/filesystem.ts'
import type { StoreReader } from '../store/reader.ts'
import type { Delta } from './delta.ts'
import { IN_BASE, IN_FILE, IN_INDEX, type Inode } from './inode.ts'
import { COPY_NOW_MAX_BYTES, FILE_MAX_BYTES, INLINE_CACHE_BYTES, INLINE_MAX_BYTES } from './limits.ts'
import type { OpenFiles } from './open-files.ts'
import type { Room } from './room.ts'

const { O_RDONLY, O_RDWR, O_CREAT, COPYFILE_FICLONE } = constants
const EMPTY = Buffer.alloc(0)
const CHUNK_BYTES = 1 << 20
/** A caller that wants more asks again. A longer copy would hold up every mount of the thread. */
const COPY_MAX_BYTES = 8 << 20

export interface ContentsDependencies {
  readonly store: StoreReader
  readonly files: OpenFiles
  readonly room: Room
}

/**
 * The bytes of regular files, wherever they are: in the base, in the index, or in a file of the delta's. A
 * file of the base moves into the delta at its first write; a small one moves to a file when it grows.
 */
export class Contents {
  readonly #delta: Delta
  readonly #store: StoreReader
  readonly #files: OpenFiles
  readonly #room: Room
  /** Small contents in memory, least recently used first. */
  readonly #inMemory = new Map<NodeId, Inode>()
  #inMemoryBytes = 0
  /** With bytes in a file that are not synced yet. */
  readonly #written = new Set<Inode>()
  readonly #copying = new Map<NodeId, Promise<void>>()
  readonly #madeDirectories = new Set<string>()

  constructor(delta: Delta, { store, files, room }: ContentsDependencies) {
    this.#delta = delta
    this.#store = store
    this.#files = files
    this.#room = room
    delta.onFlushed = (nodes) => this.#flushed(nodes)
  }

  read(inode: Inode, offset: number, size: number, into: Buffer, at: number): number {
    const length = Math.min(size, inode.size - offset)
    if (length <= 0) return 0
    if (inode.place === IN_INDEX) return this.#inline(inode).copy(into, at, offset, offset + length)
    if (inode.place === IN_FILE) return readFully(this.#openDelta(inode), into, at, length, offset)
    const blob = this.#blob(inode)
    if ('inline' in blob) return blob.inline.copy(into, at, offset, offset + length)
    return readFully(this.#files.use(blob.path, O_RDONLY), into, at, length, offset)
  }

  /** `data` is copied. The caller keeps times and tells the delta that the inode changed. */
  write(inode: Inode, offset: number, data: Buffer): void {
    if (offset + data.length > FILE_MAX_BYTES) throw EFBIG
    this.#room.take(data.length + (inode.place === IN_BASE ? inode.size : 0))
    try {
      this.#write(inode, offset, data)
    } catch (error) {
      throw asErrno(error)
    }
  }

  /**
   * Before a write to a large file of the base: copies it on another thread, and until that is done it is read from
   * the base. Null where nothing has to be copied, or so little that the write may do it.
   */
  copyUpBeside(inode: Inode): Promise<void> | null {
    if (inode.place !== IN_BASE || inode.size <= COPY_NOW_MAX_BYTES) return null
    const underWay = this.#copying.get(inode.node)
    if (underWay !== undefined) return underWay
    const blob = this.#blob(inode)
    if (!('path' in blob)) return null
    this.#room.take(inode.size)
    const copying = this.#copyBeside(inode, blob.path).finally(() => this.#copying.delete(inode.node))
    this.#copying.set(inode.node, copying)
    return copying
  }

  truncate(inode: Inode, size: number): void {
    if (size > FILE_MAX_BYTES) throw EFBIG
    try {
      this.#truncate(inode, size)
    } catch (error) {
      throw asErrno(error)
    }
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

  /** Zeros from one offset to another, as if holes. */
  zero(inode: Inode, from: number, to: number): void {
    const zeros = Buffer.alloc(Math.min(CHUNK_BYTES, Math.max(0, to - from)))
    for (let at = from; at < to; at += zeros.length) {
      this.write(inode, at, zeros.subarray(0, Math.min(zeros.length, to - at)))
    }
  }

  /** A new file's: empty, small. */
  create(inode: Inode): void {
    inode.place = IN_INDEX
    inode.inline = EMPTY
    inode.size = 0
    this.#remember(inode)
    this.#changed(inode)
  }

  /** Frees what the delta holds of a node that is gone. */
  remove(inode: Inode): void {
    if (inode.inline) this.#forgetInline(inode)
    inode.inlineDirty = false
    if (inode.place !== IN_FILE) return
    const path = this.#pathOf(inode)
    this.#written.delete(inode)
    this.#files.forget(path)
    // Only when the index on disk does not name it any more: a crash before that must find the file.
    this.#delta.afterFlush(() => rmSync(path, { force: true }))
  }

  /** Files that a crash left behind: made, or no longer named, since the last batch. */
  removeLeftovers(): void {
    const root = join(this.#delta.dir, 'files')
    if (!existsSync(root)) return
    for (const directory of readdirSync(root)) {
      for (const name of readdirSync(join(root, directory))) {
        if (this.#delta.inodes.get(Number(name))?.place !== IN_FILE) rmSync(join(root, directory, name))
      }
    }
  }

  /** Resolves when the bytes written so far are on the disk, but for those the index holds. */
  async sync(inode: Inode): Promise<void> {
    if (inode.place !== IN_FILE) return
    this.#written.delete(inode)
    await this.#files.pinned(
      this.#pathOf(inode),
      O_RDWR | O_CREAT,
      (fd) => new Promise<void>((done, fail) => fdatasync(fd, (error) => (error ? fail(error) : done()))),
    )
  }

  /** The same for every file written since the last time. */
  async syncAll(): Promise<void> {
    await Promise.allSettled(this.#copying.values())
    const written = [...this.#written]
    this.#written.clear()
    for (const inode of written) if (inode.place === IN_FILE) await this.sync(inode)
  }

  /** Every open descriptor of this delta is closed; it must be flushed. */
  close(): void {
    for (const inode of this.#delta.inodes.values()) {
      if (inode.place === IN_FILE) this.#files.forget(this.#pathOf(inode))
    }
  }

  #write(inode: Inode, offset: number, data: Buffer): void {
    const end = offset + data.length
    if (inode.place === IN_BASE) this.#copyUp(inode, Math.max(inode.size, end), inode.size)
    if (inode.place === IN_INDEX && end > INLINE_MAX_BYTES) this.#spill(inode)
    if (inode.place === IN_INDEX) {
      const contents = this.#reserve(inode, end)
      if (offset > inode.size) contents.fill(0, inode.size, offset)
      data.copy(contents, offset)
      this.#changed(inode)
    } else {
      writeFully(this.#openDelta(inode), data, offset)
      this.#written.add(inode)
    }
    if (end > inode.size) inode.size = end
  }

  #truncate(inode: Inode, size: number): void {
    if (inode.place === IN_BASE) this.#copyUp(inode, size, Math.min(size, inode.size))
    if (inode.place === IN_INDEX && size > INLINE_MAX_BYTES) this.#spill(inode)
    if (inode.place === IN_INDEX) {
      const contents = this.#reserve(inode, size)
      if (size > inode.size) contents.fill(0, inode.size, size)
      this.#changed(inode)
    } else {
      ftruncateSync(this.#openDelta(inode), size)
      this.#written.add(inode)
    }
    inode.size = size
  }

  #blob(inode: Inode) {
    if (inode.entry?.kind !== 'file') throw EIO
    return this.#store.blobSync(inode.entry.hash)
  }

  /** Brings the first `keep` bytes into the delta, for a file that will have `size`. */
  #copyUp(inode: Inode, size: number, keep: number): void {
    if (size <= INLINE_MAX_BYTES) {
      const contents = Buffer.alloc(size)
      this.read(inode, 0, keep, contents, 0)
      inode.place = IN_INDEX
      inode.inline = contents
      inode.size = keep
      this.#remember(inode)
      this.#changed(inode)
      return
    }
    const blob = keep > 0 ? this.#blob(inode) : { inline: EMPTY }
    this.#makeDirectory(inode)
    const to = this.#pathOf(inode)
    if ('path' in blob) {
      // A reflink where the disk can; the mode is the store's (read-only), so it is changed before use.
      copyFileSync(blob.path, to, COPYFILE_FICLONE)
      chmodSync(to, 0o600)
      ftruncateSync(this.#openDelta(inode), keep)
    } else {
      writeFully(this.#openDelta(inode), blob.inline.subarray(0, keep), 0)
    }
    inode.place = IN_FILE
    inode.size = keep
  }

  async #copyBeside(inode: Inode, from: string): Promise<void> {
    this.#makeDirectory(inode)
    const to = this.#pathOf(inode)
    const partial = `${to}.copy`
    try {
      await copyFile(from, partial, COPYFILE_FICLONE)
      await chmod(partial, 0o600)
    } catch (error) {
      await rm(partial, { force: true })
      throw asErrno(error)
    }
    // It may have been emptied, and so have left the base, in the meantime.
    if (inode.place === IN_BASE) {
      renameSync(partial, to)
      inode.place = IN_FILE
    } else await rm(partial)
  }

  #spill(inode: Inode): void {
    const contents = this.#inline(inode).subarray(0, inode.size)
    this.#makeDirectory(inode)
    const fd = this.#files.use(this.#pathOf(inode), O_RDWR | O_CREAT)
    ftruncateSync(fd, 0)
    writeFully(fd, contents, 0)
    this.#forgetInline(inode)
    inode.place = IN_FILE
    inode.inlineDirty = false
    this.#delta.contentChanged(inode)
  }

  #inline(inode: Inode): Buffer {
    if (inode.inline === null) {
      const stored = this.#delta.readContent(inode.node)
      if (stored === undefined || stored.length < inode.size) throw EIO
      inode.inline = stored
      this.#remember(inode)
    }
    return inode.inline
  }

  /** Grows by doubling, so that a file written in small pieces is not copied for each. */
  #reserve(inode: Inode, size: number): Buffer {
    const contents = this.#inline(inode)
    if (contents.length >= size) return contents
    const grown = Buffer.allocUnsafeSlow(Math.min(INLINE_MAX_BYTES, Math.max(size, contents.length * 2)))
    contents.copy(grown, 0, 0, inode.size)
    this.#forgetInline(inode)
    inode.inline = grown
    this.#remember(inode)
    return grown
  }

  #changed(inode: Inode): void {
    inode.inlineDirty = true
    this.#delta.contentChanged(inode)
  }

  #remember(inode: Inode): void {
    this.#inMemory.set(inode.node, inode)
    this.#inMemoryBytes += inode.inline?.length ?? 0
    if (this.#inMemoryBytes > INLINE_CACHE_BYTES) this.#shrink()
  }

  #forgetInline(inode: Inode): void {
    if (this.#inMemory.delete(inode.node)) this.#inMemoryBytes -= inode.inline?.length ?? 0
    inode.inline = null
  }

  /** Contents that are not on their way to disk yet cannot leave; they do after the next batch. */
  #shrink(): void {
    for (const inode of this.#inMemory.values()) {
      if (this.#inMemoryBytes <= INLINE_CACHE_BYTES) return
      if (!inode.inlineDirty) this.#forgetInline(inode)
    }
  }

  #flushed(nodes: ReadonlySet<NodeId>): void {
    for (const node of nodes) {
      const inode = this.#inMemory.get(node)
      // An unlinked file that is still open is in no index: memory is all it has.
      if (inode === undefined || this.#delta.inodes.get(node) !== inode) continue
      if (!this.#delta.contentIsDirty(node)) inode.inlineDirty = false
    }
    this.#shrink()
  }

  #openDelta(inode: Inode): number {
    return this.#files.use(this.#pathOf(inode), O_RDWR | O_CREAT)
  }

  #makeDirectory(inode: Inode): void {
    const directory = this.#directoryOf(inode)
    if (this.#madeDirectories.has(directory)) return
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.#madeDirectories.add(directory)
  }

  #directoryOf(inode: Inode): string {
    return join(this.#delta.dir, 'files', (inode.node % 256).toString(16).padStart(2, '0'))
  }

  #pathOf(inode: Inode): string {
    return join(this.#directoryOf(inode), String(inode.node))
  }
}

/** Short only at the end of the file: the base is fixed and the delta is ours alone, so the rest is a hole. */
function readFully(fd: number, into: Buffer, at: number, length: number, offset: number): number {
  let done = 0
  while (done < length) {
    const got = readSync(fd, into, at + done, length - done, offset + done)
    if (got === 0) {
      into.fill(0, at + done, at + length)
      return length
    }
    done += got
  }
  return done
}

function writeFully(fd: number, data: Buffer, offset: number): void {
  let done = 0
  while (done < data.length) done += writeSync(fd, data, done, data.length - done, offset + done)
}
