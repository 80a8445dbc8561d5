import { constants, copyFileSync, linkSync, rmSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { asErrno, ENOENT } from '../protocol/errno.ts'
import type { NodeId } from '../protocol/filesystem.ts'
import { IN_FILE, IN_INDEX, type Inode } from './inode.ts'
import { COPY_NOW_MAX_BYTES } from './limits.ts'
import { makeDirectory } from './make-directory.ts'
import type { OpenFiles } from './open-files.ts'
import { readFully } from './whole-io.ts'

const { COPYFILE_FICLONE, O_RDONLY } = constants

export interface MomentDependencies {
  /** The bytes as they are now. */
  read(inode: Inode, offset: number, size: number, into: Buffer, at: number): number
  /** Of a file of its own. */
  pathOf(inode: Inode): string
  readonly files: OpenFiles
  readonly onClose: (moment: Moment) => void
}

interface Held {
  readonly inode: Inode
  readonly size: number
  /** What it was, once it has changed: the bytes, the path of a copy, or why there is none. Null: it has not changed. */
  kept: Buffer | string | Error | null
  copying: Promise<void> | null
}

let made = 0

/**
 * The contents of some files as they were at one moment, for whoever reads them later. Nothing is copied for it; a file
 * that is changed before it was read is copied first, small ones at once and large ones while the change waits.
 *
 * A change never fails because of it: where there is no room for the copy, it is the reader who is told.
 */
export class Moment implements Disposable {
  readonly #dir: string
  readonly #parts: MomentDependencies
  readonly #held = new Map<NodeId, Held>()

  constructor(options: { dir: string }, inodes: Iterable<Inode>, parts: MomentDependencies) {
    this.#dir = options.dir
    this.#parts = parts
    for (const inode of inodes) {
      this.#held.set(inode.node, { inode, size: inode.size, kept: null, copying: null })
    }
  }

  sizeOf(node: NodeId): number {
    return this.#of(node).size
  }

  /** Fills `into` as far as the file went. */
  read(node: NodeId, offset: number, into: Buffer): number {
    const { inode, size, kept } = this.#of(node)
    const length = Math.max(0, Math.min(into.length, size - offset))
    if (kept === null) return this.#parts.read(inode, offset, length, into, 0)
    if (kept instanceof Error) throw kept
    if (Buffer.isBuffer(kept)) return kept.copy(into, 0, offset, offset + length)
    return readFully(this.#parts.files.use(kept, O_RDONLY), into, 0, length, offset)
  }

  /** Nobody will read it again. */
  drop(node: NodeId): void {
    const held = this.#held.get(node)
    this.#held.delete(node)
    if (typeof held?.kept === 'string') this.#remove(held.kept)
  }

  /** Before a change of a large file's contents: what has to be waited for. */
  copyBeside(inode: Inode): Promise<void> | null {
    const held = this.#held.get(inode.node)
    if (held === undefined || held.kept !== null || held.copying !== null) return held?.copying ?? null
    if (inode.place !== IN_FILE || inode.size <= COPY_NOW_MAX_BYTES) return null
    const path = this.#newPath()
    held.copying = copyFile(this.#parts.pathOf(inode), path, COPYFILE_FICLONE)
      .then(
        () => path,
        (error: unknown) => {
          this.#remove(path)
          return asErrno(error) as Error
        },
      )
      .then((kept) => {
        held.copying = null
        const isWanted = this.#held.get(inode.node) === held && held.kept === null
        if (isWanted) held.kept = kept
        else if (typeof kept === 'string') this.#remove(kept)
      })
    return held.copying
  }

  /** The same for any file, at once. */
  beforeChange(inode: Inode): void {
    this.#keep(inode, (from, to) => copyFileSync(from, to, COPYFILE_FICLONE))
  }

  /** Nobody can change it any more, so its file itself is what is kept. */
  beforeRemoval(inode: Inode): void {
    this.#keep(inode, linkSync)
  }

  [Symbol.dispose](): void {
    for (const node of [...this.#held.keys()]) this.drop(node)
    this.#parts.onClose(this)
  }

  #of(node: NodeId): Held {
    const held = this.#held.get(node)
    if (held === undefined) throw ENOENT
    return held
  }

  #keep(inode: Inode, copy: (from: string, to: string) => void): void {
    const held = this.#held.get(inode.node)
    if (held === undefined || held.kept !== null) return
    try {
      if (inode.place === IN_INDEX) {
        const bytes = Buffer.allocUnsafeSlow(held.size)
        this.#parts.read(inode, 0, held.size, bytes, 0)
        held.kept = bytes
      } else {
        const path = this.#newPath()
        held.kept = path
        copy(this.#parts.pathOf(inode), path)
      }
    } catch (error) {
      if (typeof held.kept === 'string') this.#remove(held.kept)
      held.kept = asErrno(error) as Error
    }
  }

  #newPath(): string {
    makeDirectory(momentsDir(this.#dir))
    return join(momentsDir(this.#dir), String(made++))
  }

  #remove(path: string): void {
    this.#parts.files.forget(path)
    rmSync(path, { force: true })
  }
}

/** Where a delta's copies are. What is in it when the delta is opened is left over from a crash. */
export function momentsDir(deltaDir: string): string {
  return join(deltaDir, 'moments')
}
