import { levelErrno } from '../leveldb/level-errno.ts'
import { asErrno, EIO, ENOSPC, EROFS, Errno } from '../protocol/errno.ts'

/** How the last batch went: whether more changes may be taken, and whether the log of the index is still good. */
export class WriteState {
  /** Why the last one failed, where more changes would only be lost too. */
  #refusal: Errno | null = null
  #told = false
  /** A batch has failed since the log was begun, and may have left a part of itself. */
  torn = false

  get refusal(): Errno | null {
    return this.#refusal
  }

  /** Returns what whoever waits is told. On a full disk deleting must go on: there only contents are refused (`Room`). */
  failed(error: unknown): unknown {
    const known = levelErrno(error) ?? asErrno(error)
    this.#refusal = known === ENOSPC ? null : known instanceof Errno ? known : EIO
    // Where nothing can be written nothing was, and opening the index anew would lose what can be read.
    this.torn ||= known !== EROFS
    return known
  }

  succeeded(): void {
    this.#refusal = null
    this.#told = false
  }

  /** Runs it for the first of several failures. */
  tellOnce(tell: () => void): void {
    if (!this.#told) tell()
    this.#told = true
  }
}
