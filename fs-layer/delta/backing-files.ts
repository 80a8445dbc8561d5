import { constants, existsSync, fdatasync, fstatSync, fsync, readdirSync, rmSync, unlink } from 'node:fs'
import { dirname, join } from 'node:path'
import type { NodeId } from '../protocol/filesystem.ts'
import { IN_FILE, type Inode } from './inode.ts'
import { makeDirectory } from './make-directory.ts'
import type { OpenFiles } from './open-files.ts'

const { O_RDONLY, O_RDWR, O_CREAT, O_DIRECTORY } = constants

export interface BackingFilesOptions {
  /** The delta's directory. */
  readonly dir: string
}

/**
 * The files of their own in which a delta keeps larger contents: `files/<node mod 256, hex>/<node>`. A file counts
 * as synced when its bytes and every name on the way to it are.
 */
export class BackingFiles {
  readonly #dir: string
  readonly #files: OpenFiles
  /** With bytes that are not synced yet. */
  readonly #written = new Set<Inode>()
  readonly #made = new Set<string>()
  /** Directories with names that are not synced yet. */
  readonly #named = new Set<string>()
  /** The last sync of each directory: under way, or long done. */
  readonly #naming = new Map<string, Promise<void>>()

  constructor({ dir }: BackingFilesOptions, { files }: { files: OpenFiles }) {
    this.#dir = dir
    this.#files = files
  }

  pathOf(inode: Inode): string {
    return backingPath(this.#dir, inode.node)
  }

  /** A descriptor for reading and writing, good until the next one is asked for. */
  open(inode: Inode): number {
    return this.#files.use(this.pathOf(inode), O_RDWR | O_CREAT)
  }

  /** Before its file is made. Returns its path. */
  prepare(inode: Inode): string {
    const directory = this.#directoryOf(inode)
    if (!this.#made.has(directory)) {
      makeDirectory(directory)
      this.#made.add(directory)
      this.#named.add(this.#dir)
      this.#named.add(join(this.#dir, 'files'))
    }
    this.#named.add(directory)
    return this.pathOf(inode)
  }

  written(inode: Inode): void {
    this.#written.add(inode)
  }

  /** Resolves when all bytes written so far are on the disk, and found there. */
  async sync(inode: Inode): Promise<void> {
    this.#written.delete(inode)
    try {
      await this.#files.pinned(this.pathOf(inode), O_RDWR | O_CREAT, (fd) => done(fdatasync, fd))
      await this.#syncNames(this.#directoryOf(inode))
    } catch (error) {
      this.#written.add(inode)
      throw error
    }
  }

  /** The same for every file written since the last time. */
  async syncAll(): Promise<void> {
    for (const inode of [...this.#written]) {
      if (inode.place === IN_FILE) await this.sync(inode)
      else this.#written.delete(inode)
    }
  }

  /** Closes it; the file may be removed, or replaced, then. */
  forget(inode: Inode): void {
    this.#written.delete(inode)
    this.#files.forget(this.pathOf(inode))
  }

  /** Closes it, and returns what removes it: on another thread, for there may be thousands. */
  removal(inode: Inode): () => void {
    this.forget(inode)
    const path = this.pathOf(inode)
    // One that cannot be removed is a leftover of the next open.
    return () => unlink(path, () => undefined)
  }

  /**
   * After a crash a file may be longer than its inode says, because the index is behind, and with the disk's power
   * shorter, because the bytes are. The file is right: it is written and cut at once, and fdatasync(2) of one that the
   * index knows syncs it alone. `isInherited`: from a thread that died, and nobody knows which bytes it had not synced.
   */
  reconcile(inode: Inode, isInherited: boolean): void {
    // Whether an earlier life synced its name nobody knows.
    this.prepare(inode)
    if (isInherited) this.written(inode)
    inode.size = fstatSync(this.open(inode)).size
  }

  /** Files that a crash left behind: made, or no longer named, since the last batch. */
  removeLeftovers(isNamed: (node: number) => boolean): void {
    const root = join(this.#dir, 'files')
    if (!existsSync(root)) return
    for (const directory of readdirSync(root)) {
      for (const name of readdirSync(join(root, directory))) {
        if (!isNamed(Number(name))) rmSync(join(root, directory, name))
      }
    }
  }

  #directoryOf(inode: Inode): string {
    return dirname(this.pathOf(inode))
  }

  /** From the bottom up, so that a name is never found whose directory is not. */
  async #syncNames(directory: string): Promise<void> {
    for (const each of [directory, join(this.#dir, 'files'), this.#dir]) {
      if (this.#named.delete(each)) this.#naming.set(each, this.#syncDirectory(each))
      await this.#naming.get(each)
    }
  }

  async #syncDirectory(directory: string): Promise<void> {
    try {
      await this.#naming.get(directory)
      await this.#files.pinned(directory, O_RDONLY | O_DIRECTORY, (fd) => done(fsync, fd))
    } catch (error) {
      this.#named.add(directory)
      throw error
    }
  }
}

/** Of a node's contents, in the delta that `dir` is. */
export function backingPath(dir: string, node: NodeId): string {
  return join(dir, 'files', (node % 256).toString(16).padStart(2, '0'), String(node))
}

function done(call: typeof fsync, fd: number): Promise<void> {
  return new Promise((resolve, reject) => call(fd, (error) => (error ? reject(error) : resolve())))
}
