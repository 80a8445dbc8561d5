import { rmSync } from 'node:fs'
import type { Inode } from './inode.ts'
import { Moment, type MomentDependencies, momentsDir } from './moment.ts'

/** The moments that somebody still reads; what changes a file's contents tells them before. */
export class Moments {
  readonly #dir: string
  readonly #parts: Omit<MomentDependencies, 'onClose'>
  readonly #open = new Set<Moment>()

  constructor(options: { dir: string }, parts: Omit<MomentDependencies, 'onClose'>) {
    this.#dir = options.dir
    this.#parts = parts
  }

  /** What a thread that died has left. */
  removeLeftovers(): void {
    rmSync(momentsDir(this.#dir), { recursive: true, force: true })
  }

  /** Of the contents that these inodes have now. */
  open(inodes: Iterable<Inode>): Moment {
    const onClose = (moment: Moment) => this.#open.delete(moment)
    const moment = new Moment({ dir: this.#dir }, inodes, { ...this.#parts, onClose })
    this.#open.add(moment)
    return moment
  }

  copyBeside(inode: Inode): Promise<void> | null {
    for (const moment of this.#open) {
      const copying = moment.copyBeside(inode)
      if (copying !== null) return copying
    }
    return null
  }

  beforeChange(inode: Inode): void {
    for (const moment of this.#open) moment.beforeChange(inode)
  }

  beforeRemoval(inode: Inode): void {
    for (const moment of this.#open) moment.beforeRemoval(inode)
  }

  closeAll(): void {
    for (const moment of [...this.#open]) moment[Symbol.dispose]()
  }
}
