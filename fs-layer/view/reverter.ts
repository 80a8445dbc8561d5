import { constants } from 'node:fs'
import { type Inode, OWNER_ID, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../delta/inode.ts'
import type { OpenFiles } from '../delta/open-files.ts'
import { readFully } from '../delta/whole-io.ts'
import { isSame } from '../diff/walk.ts'
import { VIEW } from '../policy/rule.ts'
import { ENOTEMPTY } from '../protocol/errno.ts'
import type { ByteString, Notifier } from '../protocol/filesystem.ts'
import type { FileEntry, SymlinkEntry, TreeEntry } from '../store/objects.ts'
import type { StoreReader } from '../store/reader.ts'
import { Access } from './access.ts'
import { kindOf } from './node-info.ts'
import type { Observer } from './observer.ts'
import type { Overlay } from './overlay.ts'
import { revive } from './revive.ts'
import { stampChange } from './stamp.ts'
import type { Visibility } from './visibility.ts'

export interface ReverterParts {
  readonly overlay: Overlay
  /** The sandbox's: what it hides is left alone. */
  readonly visibility: Visibility
  readonly observer: Observer | null
  /** Null where no kernel looks. */
  readonly notifier: Notifier | null
  readonly store: StoreReader
  /** Descriptors of blobs. */
  readonly files: OpenFiles
}

/** A name in a directory that is there. */
export interface Spot {
  readonly directory: Inode
  readonly name: ByteString
}

const { O_RDONLY } = constants
const CHUNK_BYTES = 256 * 1024

/** A FIFO or socket, which no version has. */
export function isNoVersions(inode: Inode): boolean {
  return !inode.isFile && !inode.isDirectory && !inode.isSymlink
}

/**
 * Makes single names of a view what they were, as the sandbox sees it: what the rules hide from it is neither touched nor
 * in the way. Every change is told to the kernel and to who watches. No quota holds it up, for what it brings was within
 * one.
 */
export class Reverter {
  readonly #parts: ReverterParts
  readonly #access: Access

  constructor(parts: ReverterParts) {
    this.#parts = parts
    this.#access = new Access(parts.overlay, parts.visibility)
  }

  /** The directory of a path, and the path's last name; null where there is no way. */
  spot(path: ByteString): Spot | null {
    const slash = path.lastIndexOf('/')
    const directory = this.directory(slash < 0 ? '' : path.slice(0, slash))
    return directory === null ? null : { directory, name: path.slice(slash + 1) }
  }

  directory(path: ByteString): Inode | null {
    const { overlay } = this.#parts
    let inode: Inode | null = overlay.root
    for (const name of path === '' ? [] : path.split('/')) {
      inode = inode?.isDirectory ? overlay.lookup(inode, name) : null
    }
    return inode?.isDirectory ? inode : null
  }

  at({ directory, name }: Spot): Inode | null {
    return this.#parts.overlay.lookup(directory, name)
  }

  /** Whether the sandbox may know of the name: only then anything is done there. */
  isSeen({ directory, name }: Spot): boolean {
    return this.#parts.visibility.childState(directory, name).level >= VIEW
  }

  /** False: it is a directory with something in it that stays. */
  remove(spot: Spot): boolean {
    const inode = this.at(spot)
    if (inode === null || !this.isSeen(spot)) return true
    if (!inode.isDirectory) {
      this.#unlink(spot, inode)
      return true
    }
    this.#removeNodes(inode)
    let keepsHidden: boolean
    try {
      keepsHidden = this.#access.seemsEmpty(inode)
    } catch (error) {
      if (error === ENOTEMPTY) return false
      throw error
    }
    this.#parts.overlay.rmdir(spot.directory, spot.name, inode, keepsHidden)
    this.#parts.observer?.deleted(spot.directory, spot.name, inode)
    this.#entryChanged(spot)
    return true
  }

  /** Brings a node of the base back to where the base has it. False: it is not to be found, or may not move. */
  moveBack(spot: Spot, wanted: TreeEntry, isWanted: (path: ByteString) => boolean): boolean {
    const { overlay, visibility, observer } = this.#parts
    const { directory, name } = spot
    const inode = overlay.delta.inodes.get(overlay.base.childOf(directory, name)?.node ?? 0)
    if (inode === undefined || inode.nlink !== 1 || inode.otherNames?.length) return false
    if (kindOf(inode.mode) !== wanted.kind || isWanted(overlay.pathOf(inode))) return false
    if (inode.isDirectory && overlay.isWithin(directory, inode)) return false
    const from: Spot = { directory: overlay.inode(inode.parent), name: inode.name }
    if (!this.isSeen(from) || !this.isSeen(spot)) return false
    const [was, is] = [visibility.childState(from.directory, from.name), visibility.childState(directory, name)]
    if (visibility.mayRaise(was, is) || visibility.mayRaise(is, was)) return false
    overlay.rename(from.directory, from.name, directory, name, inode, null, false)
    observer?.renamed(from.directory, from.name, directory, name, inode, null, false)
    this.#entryChanged(from)
    this.#entryChanged(spot)
    return true
  }

  /** A directory at a free name; with `whole` the base's own with all that is in it, where that can be. */
  makeDirectory(spot: Spot, whole: boolean): Inode {
    const { overlay, observer } = this.#parts
    const made =
      whole && overlay.base.childOf(spot.directory, spot.name)?.entry.kind === 'directory'
        ? revive(overlay, spot.directory, spot.name)
        : null
    const inode = made ?? this.#unlimited(() => this.#link(spot, overlay.make(S_IFDIR | 0o755, OWNER_ID, OWNER_ID)))
    observer?.created(spot.directory, spot.name, inode)
    this.#entryChanged(spot)
    return inode
  }

  setAttributes(inode: Inode, { mode, mtime, mtimeNsec }: Pick<TreeEntry, 'mode' | 'mtime' | 'mtimeNsec'>): void {
    if ((inode.mode & 0o7777) === mode && inode.mtime === mtime && inode.mtimeNsec === mtimeNsec) return
    const isMode = (inode.mode & 0o7777) !== mode
    this.#stamp(inode, { mode, mtime, mtimeNsec })
    if (isMode) this.#parts.observer?.attributesChanged(inode)
    this.#parts.notifier?.nodeChanged(inode.node, inode.isDirectory)
  }

  /**
   * A file or link in place of whatever else than a directory is there, in one step. Who has the old file open keeps it.
   * Gives others their turn while much is copied. False: a directory is there, or no way.
   */
  async *put(path: ByteString, wanted: FileEntry | SymlinkEntry): AsyncGenerator<void, boolean> {
    const found = this.#placeFor(path)
    if (found === null) return false
    const { overlay } = this.#parts
    const made = this.#canRevive(found, wanted) ? null : this.#unlimited(() => this.#make(wanted))
    try {
      if (made !== null && wanted.kind === 'file') yield* this.#fill(made, wanted)
      // It may be another one by now.
      const spot = this.#placeFor(path)
      if (spot === null) {
        if (made !== null) overlay.discard(made)
        return false
      }
      this.#replace(spot, wanted, made)
      return true
    } catch (error) {
      if (made !== null && made.nlink === 0) overlay.discard(made)
      throw error
    }
  }

  #placeFor(path: ByteString): Spot | null {
    const spot = this.spot(path)
    return spot === null || this.at(spot)?.isDirectory ? null : spot
  }

  #replace(spot: Spot, wanted: FileEntry | SymlinkEntry, made: Inode | null): void {
    const { overlay, observer } = this.#parts
    const before = this.at(spot)
    if (before !== null) this.#unlink(spot, before)
    const revived = made === null ? revive(overlay, spot.directory, spot.name) : null
    const inode = revived ?? this.#unlimited(() => this.#link(spot, made ?? this.#filled(wanted)))
    this.#stamp(inode, wanted)
    observer?.created(spot.directory, spot.name, inode)
    this.#entryChanged(spot)
  }

  /** The base has it at this very name, and nobody holds what was there. */
  #canRevive(spot: Spot, wanted: TreeEntry): boolean {
    const { overlay } = this.#parts
    const found = overlay.base.childOf(spot.directory, spot.name)
    if (found === null || !isSame(found.entry, wanted)) return false
    const known = overlay.known(found.node)
    return known === undefined || (known === this.at(spot) && known.nlink === 1 && !known.isHeld)
  }

  #make(wanted: FileEntry | SymlinkEntry): Inode {
    const { overlay } = this.#parts
    const type = wanted.kind === 'file' ? S_IFREG : S_IFLNK
    const inode = overlay.make(type | wanted.mode, OWNER_ID, OWNER_ID)
    if (wanted.kind === 'symlink') {
      inode.target = wanted.target
      inode.size = wanted.target.length
      overlay.contents.settle(inode)
    }
    return inode
  }

  /** What was to be revived, and somebody has looked at meanwhile: rare, so it is copied at once. */
  #filled(wanted: FileEntry | SymlinkEntry): Inode {
    const inode = this.#make(wanted)
    if (wanted.kind === 'file') for (const _ of this.#chunks(inode, wanted));
    return inode
  }

  async *#fill(inode: Inode, wanted: FileEntry): AsyncGenerator<void> {
    for (const _ of this.#chunks(inode, wanted)) yield
  }

  *#chunks(inode: Inode, { hash }: FileEntry): Generator<void> {
    const { overlay, store, files } = this.#parts
    const blob = store.blobSync(hash)
    if ('inline' in blob) {
      this.#unlimited(() => overlay.contents.write(inode, 0, blob.inline))
      return
    }
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
    for (let at = 0; at < blob.size; ) {
      const data = chunk.subarray(0, Math.min(chunk.length, blob.size - at))
      readFully(files.use(blob.path, O_RDONLY), data, 0, data.length, at)
      const offset = at
      this.#unlimited(() => overlay.contents.write(inode, offset, data))
      at += data.length
      yield
    }
  }

  #link({ directory, name }: Spot, inode: Inode): Inode {
    this.#parts.overlay.link(directory, name, inode)
    return inode
  }

  #unlink(spot: Spot, inode: Inode): void {
    this.#parts.overlay.unlink(spot.directory, spot.name, inode)
    this.#parts.observer?.deleted(spot.directory, spot.name, inode)
    this.#entryChanged(spot)
  }

  /** FIFOs and sockets, which no version has: they do not keep a directory. */
  #removeNodes(directory: Inode): void {
    const { overlay } = this.#parts
    for (const { name, node } of [...overlay.list(directory)]) {
      const inode = overlay.inode(node)
      const spot = { directory, name }
      if (isNoVersions(inode) && this.isSeen(spot)) this.#unlink(spot, inode)
    }
  }

  #stamp(inode: Inode, { mode, mtime, mtimeNsec }: Pick<TreeEntry, 'mode' | 'mtime' | 'mtimeNsec'>): void {
    inode.mode = (inode.mode & S_IFMT) | mode
    inode.mtime = mtime
    inode.mtimeNsec = mtimeNsec
    stampChange(inode)
    this.#parts.overlay.changed(inode)
  }

  #entryChanged({ directory, name }: Spot): void {
    this.#parts.notifier?.entryChanged(directory.node, name)
    this.#parts.notifier?.nodeChanged(directory.node, true)
  }

  #unlimited<T>(work: () => T): T {
    const { usage } = this.#parts.overlay.delta
    const { quota } = usage
    usage.quota = {}
    try {
      return work()
    } finally {
      usage.quota = quota
    }
  }
}
