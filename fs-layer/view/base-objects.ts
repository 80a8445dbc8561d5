import { asErrno, EIO, Errno } from '../protocol/errno.ts'
import type { Log } from '../protocol/log.ts'
import type { Hash, Root, Tree } from '../store/objects.ts'
import type { BlobLocation, StoreReader } from '../store/reader.ts'

/**
 * The store's objects as a view needs them: one that is missing, damaged or cannot be read is EIO to whoever asked for
 * it, and a line in the log the first time.
 */
export class BaseObjects {
  readonly #view: string
  readonly #store: StoreReader
  readonly #log: Log
  readonly #told = new Set<Hash>()

  constructor(options: { view: string }, { store, log }: { store: StoreReader; log: Log }) {
    this.#view = options.view
    this.#store = store
    this.#log = log
  }

  treeSync(hash: Hash): Tree {
    try {
      return this.#store.treeSync(hash)
    } catch (error) {
      throw this.fault(hash, error)
    }
  }

  rootSync(hash: Hash): Root {
    try {
      return this.#store.rootSync(hash)
    } catch (error) {
      throw this.fault(hash, error)
    }
  }

  blobSync(hash: Hash): BlobLocation {
    try {
      return this.#store.blobSync(hash)
    } catch (error) {
      throw this.fault(hash, error)
    }
  }

  /**
   * For what goes wrong when the file of a blob that was looked up is read, or copied: then a full disk may be the
   * reason. Returns what the caller is to throw.
   */
  fault(hash: Hash, error: unknown): Errno {
    const known = asErrno(error)
    if (known instanceof Errno) return known
    if (!this.#told.has(hash)) {
      this.#told.add(hash)
      this.#log('error', 'an object of the base is damaged or cannot be read', {
        view: this.#view,
        object: hash,
        reason: error instanceof Error ? error.message : String(error),
        remedy: 'restore the store from a backup, or upload these files again',
      })
    }
    return EIO
  }
}
