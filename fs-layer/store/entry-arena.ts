import { entryEnd, entryLength, KIND_FILE, MAX_ENTRY_BYTES, readEntry, writeEntry } from './entry.ts'
import { readUint64 } from './int64.ts'
import type { FileEntry, Hash, SymlinkEntry } from './objects.ts'

/**
 * Many entries in their canonical bytes, one after another, far from the garbage collector: a million of them
 * as objects would take some 300 MB. An entry is named by its place and never spans two chunks.
 */
export class EntryArena {
  readonly #chunks: { bytes: Buffer; used: number }[] = []

  /** The entry must have no fault. Returns its place. */
  add(entry: FileEntry | SymlinkEntry): number {
    const length = entryLength(entry)
    let last = this.#chunks.at(-1)
    if (last === undefined || last.used + length > CHUNK_BYTES) {
      last = { bytes: Buffer.allocUnsafe(CHUNK_BYTES), used: 0 }
      this.#chunks.push(last)
    }
    const at = last.used
    last.used = writeEntry(last.bytes, at, entry)
    return (this.#chunks.length - 1) * CHUNK_BYTES + at
  }

  lengthAt(place: number): number {
    const [bytes, at] = this.#locate(place)
    return entryEnd(bytes, at) - at
  }

  /** Bytes of a file, 0 for a link. */
  fileSizeAt(place: number): number {
    const [bytes, at] = this.#locate(place)
    return bytes[at] === KIND_FILE ? readUint64(bytes, at + 16 + (bytes[at + 1] as number)) : 0
  }

  /** Copies the entry's bytes and returns where they end. */
  copy(place: number, into: Buffer, intoAt: number): number {
    const [bytes, at] = this.#locate(place)
    return intoAt + bytes.copy(into, intoAt, at, entryEnd(bytes, at))
  }

  /** The files, in the order added, in lists of at most `most`. */
  *files(most: number): Generator<{ hash: Hash; size: number; at: number }[]> {
    let files: { hash: Hash; size: number; at: number }[] = []
    for (const [index, { bytes, used }] of this.#chunks.entries()) {
      for (let at = 0; at < used; at = entryEnd(bytes, at)) {
        const entry = readEntry(bytes, at)
        if (entry.kind === 'file') files.push({ hash: entry.hash, size: entry.size, at: index * CHUNK_BYTES + at })
        if (files.length < most) continue
        yield files
        files = []
      }
    }
    if (files.length > 0) yield files
  }

  #locate(place: number): [Buffer, number] {
    const chunk = this.#chunks[Math.floor(place / CHUNK_BYTES)]
    if (chunk === undefined) throw new RangeError(`No entry at ${place}`)
    return [chunk.bytes, place % CHUNK_BYTES]
  }
}

// At least MAX_ENTRY_BYTES; what is left at the end of a chunk is lost, so much more than that.
const CHUNK_BYTES = 64 * MAX_ENTRY_BYTES
