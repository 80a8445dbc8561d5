import type { Estate, Inherited } from './estate.ts'
import type { JournalMemory } from './journal-memory.ts'
import { JOURNAL_FULL_BYTES, JOURNAL_PIECE_BYTES } from './limits.ts'
import {
  LastOfEachKey,
  OPERATION_HEADER_BYTES,
  type Operation,
  operationAt,
  operationBytes,
  putOperation,
} from './operations.ts'

/**
 * The changes of a delta that have been answered and are not in LevelDB yet, in memory that outlives the thread: what
 * a program has been told to be done is done, even if the thread dies at the next instruction (ADR 18).
 *
 * An entry is what one turn of the thread changed, as records of LevelDB, with the reply that told of it. It counts
 * from the moment in which the piece's first word is written, and that is one instruction; so a successor finds all
 * of an entry or nothing.
 *
 *   piece:  u32 end of the entries in bytes (0: none), u32 reserved, entries; pieces follow each other by their number
 *   entry:  operations (`operations.ts`); a reply: u32 REPLY, u32 length, bytes
 */
export class Journal {
  readonly #estate: Estate
  readonly #memory: JournalMemory
  #nextNumber: number
  /** With entries, oldest first; the last one takes the next entry. */
  #pieces: Piece[] = []

  /** Goes on after the pieces of the thread before. */
  constructor({ estate, memory }: JournalDependencies, inherited: Inherited) {
    this.#estate = estate
    this.#memory = memory
    this.#nextNumber = Math.max(0, ...inherited.keys()) + 1
  }

  /** `reply` is copied. */
  add(operations: readonly Operation[], reply: Buffer | null): void {
    let bytes = reply === null ? 0 : OPERATION_HEADER_BYTES + reply.length
    for (const operation of operations) bytes += operationBytes(operation)
    const piece = this.#pieceFor(bytes)
    let at = piece.end
    for (const operation of operations) at = putOperation(piece.bytes, at, operation)
    if (reply !== null) at = putReply(piece.bytes, at, reply)
    piece.end = at
    Atomics.store(piece.words, 0, at)
  }

  get isFull(): boolean {
    let bytes = 0
    for (const { end } of this.#pieces) bytes += end
    return bytes > JOURNAL_FULL_BYTES
  }

  /** What has been added so far can be released, when it is in LevelDB. */
  mark(): number {
    const last = this.#pieces.at(-1)
    if (last === undefined) return 0
    last.isClosed = true
    return last.number
  }

  release(mark: number): void {
    while (this.#pieces[0] !== undefined && this.#pieces[0].number <= mark) {
      const piece = this.#pieces.shift()!
      Atomics.store(piece.words, 0, 0)
      this.#estate.drop(piece.number)
      if (piece.bytes.length === JOURNAL_PIECE_BYTES) this.#memory.give(piece.memory)
    }
  }

  #pieceFor(entryBytes: number): Piece {
    const last = this.#pieces.at(-1)
    if (last !== undefined && !last.isClosed && last.end + entryBytes <= last.bytes.length) return last
    const needed = PIECE_HEADER_BYTES + entryBytes
    const memory = needed > JOURNAL_PIECE_BYTES ? new SharedArrayBuffer(needed) : this.#memory.take()
    const number = this.#nextNumber++
    const [bytes, words] = [Buffer.from(memory), new Int32Array(memory, 0, 1)]
    const piece: Piece = { number, memory, bytes, words, end: PIECE_HEADER_BYTES, isClosed: false }
    this.#estate.keep(number, memory)
    this.#pieces.push(piece)
    return piece
  }
}

export interface JournalDependencies {
  readonly estate: Estate
  readonly memory: JournalMemory
}

export interface Recovered {
  /** The last one of each key. */
  readonly operations: readonly Operation[]
  /** Of the last change: it may not have left. */
  readonly reply: Buffer | null
}

/** What a thread that has died left in its journal. Throws where that is no journal. */
export function readJournal(inherited: Inherited): Recovered {
  const records = new LastOfEachKey()
  let reply: Buffer | null = null
  for (const [, memory] of [...inherited].sort(([a], [b]) => a - b)) {
    const bytes = Buffer.from(memory)
    const end = bytes.readUInt32LE(0)
    for (let at = PIECE_HEADER_BYTES; at < end; ) {
      if (bytes.readUInt32LE(at) === REPLY) {
        const from = at + OPERATION_HEADER_BYTES
        at = from + bytes.readUInt32LE(at + 4)
        reply = Buffer.from(bytes.subarray(from, at))
        continue
      }
      const read = operationAt(bytes, at)
      records.add(read.operation)
      at = read.end
    }
  }
  return { operations: records.operations, reply }
}

interface Piece {
  readonly number: number
  readonly memory: SharedArrayBuffer
  readonly bytes: Buffer
  readonly words: Int32Array
  end: number
  isClosed: boolean
}

const PIECE_HEADER_BYTES = 8
/** In place of a key's length. */
const REPLY = 0xffffffff

function putReply(into: Buffer, at: number, reply: Buffer): number {
  into.writeUInt32LE(REPLY, at)
  into.writeUInt32LE(reply.length, at + 4)
  return at + OPERATION_HEADER_BYTES + reply.copy(into, at + OPERATION_HEADER_BYTES)
}
