import { closeSync, openSync } from 'node:fs'

interface OpenFile {
  readonly fd: number
  pins: number
  /** Close it when the last pin goes. */
  doomed: boolean
}

/**
 * The descriptors of a filesystem thread, most recently used kept: an inode has none of its own, because
 * there may be far more inodes in use than descriptors allowed.
 *
 * A descriptor is good until the next call of `use`, or while pinned.
 */
export class OpenFiles implements Disposable {
  readonly #maxFiles: number
  readonly #files = new Map<string, OpenFile>()

  constructor(options: { maxFiles: number }) {
    this.#maxFiles = options.maxFiles
  }

  /** `flags` as of open(2); two uses of one path ask for the same. */
  use(path: string, flags: number): number {
    const known = this.#files.get(path)
    if (known !== undefined) {
      this.#files.delete(path)
      this.#files.set(path, known)
      return known.fd
    }
    this.#evict()
    const fd = openSync(path, flags, 0o600)
    this.#files.set(path, { fd, pins: 0, doomed: false })
    return fd
  }

  /** Keeps the descriptor open over an asynchronous use of it. */
  async pinned<T>(path: string, flags: number, work: (fd: number) => Promise<T>): Promise<T> {
    const fd = this.use(path, flags)
    const file = this.#files.get(path)!
    file.pins++
    try {
      return await work(fd)
    } finally {
      file.pins--
      if (file.doomed && file.pins === 0) closeSync(fd)
    }
  }

  /** Before the file is removed, or replaced. */
  forget(path: string): void {
    const file = this.#files.get(path)
    if (file === undefined) return
    this.#files.delete(path)
    this.#close(file)
  }

  [Symbol.dispose](): void {
    for (const path of [...this.#files.keys()]) this.forget(path)
  }

  #evict(): void {
    if (this.#files.size < this.#maxFiles) return
    for (const [path, file] of this.#files) {
      if (file.pins > 0) continue
      this.#files.delete(path)
      this.#close(file)
      return
    }
  }

  #close(file: OpenFile): void {
    if (file.pins > 0) file.doomed = true
    else closeSync(file.fd)
  }
}
