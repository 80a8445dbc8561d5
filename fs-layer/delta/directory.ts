import type { ByteString } from '../protocol/filesystem.ts'
import type { Dentry } from './record.ts'

/**
 * What a delta says of one directory: names it adds, moves in or takes away. Kept in the order of making,
 * because a readdir cookie is a dentry's `seq`: a listing goes on after a cookie whatever came or went.
 */
export class DeltaDirectory {
  readonly #byName = new Map<ByteString, Dentry>()
  /** By `seq`, with removed ones still in it until they are the larger part. */
  #ordered: Dentry[] = []
  #nextSeq = 1

  get(name: ByteString): Dentry | undefined {
    return this.#byName.get(name)
  }

  get size(): number {
    return this.#byName.size
  }

  set(name: ByteString, node: number, shadows: readonly number[]): Dentry {
    const dentry: Dentry = { name, node, seq: this.#nextSeq++, shadows }
    this.#byName.set(name, dentry)
    this.#ordered.push(dentry)
    this.#compact()
    return dentry
  }

  /** As read from disk; in any order, then `sort`. */
  load(dentry: Dentry): void {
    this.#byName.set(dentry.name, dentry)
    this.#ordered.push(dentry)
    if (dentry.seq >= this.#nextSeq) this.#nextSeq = dentry.seq + 1
  }

  sort(): void {
    this.#ordered.sort((a, b) => a.seq - b.seq)
  }

  delete(name: ByteString): boolean {
    const had = this.#byName.delete(name)
    if (had) this.#compact()
    return had
  }

  /** The youngest first, those with a `seq` below the given one. */
  *below(seq: number): Generator<Dentry> {
    const list = this.#ordered
    let low = 0
    let high = list.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (list[middle]!.seq >= seq) high = middle
      else low = middle + 1
    }
    for (let at = low - 1; at >= 0; at--) {
      const dentry = list[at]!
      if (this.#byName.get(dentry.name) === dentry) yield dentry
    }
  }

  all(): Iterable<Dentry> {
    return this.#byName.values()
  }

  #compact(): void {
    if (this.#ordered.length < 64 || this.#ordered.length < 2 * this.#byName.size) return
    this.#ordered = this.#ordered.filter((dentry) => this.#byName.get(dentry.name) === dentry)
  }
}
