import type { ExecOutput_OutputType } from '../../proto/index.ts'

export interface RingPiece {
  readonly type: ExecOutput_OutputType
  readonly data: Buffer
  /** Cursors before and after `data`. */
  readonly start: number
  readonly end: number
}

interface Chunk {
  readonly type: ExecOutput_OutputType
  readonly start: number
  data: Buffer
}

/** Small pieces of one stream are put together up to this. */
const CHUNK_BYTES = 4096
/** Larger ones are taken apart, so that what is dropped at once is little of what is kept. */
const MAX_CHUNK_BYTES = 16_384
/** What a chunk costs beside its bytes: a program that writes single bytes in turn to both streams makes one of each. */
const CHUNK_COST_BYTES = 256

/**
 * The newest output of a command, stdout and stderr in the order in which they came. A cursor is how many bytes
 * came before. What is older than the room allows is dropped; whoever asks for it is told how much that was.
 */
export class OutputRing {
  readonly #maxBytes: number
  #chunks: Chunk[] = []
  /** Dropped ones stand before it until there are many of them. */
  #first = 0
  #costBytes = 0
  #end = 0

  /** `maxBytes`: at least a few chunks, or the newest output itself would be dropped. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Of the oldest byte that is kept. */
  get start(): number {
    return this.#chunks[this.#first]?.start ?? this.#end
  }

  /** After the newest. */
  get end(): number {
    return this.#end
  }

  add(type: ExecOutput_OutputType, data: Buffer): void {
    for (let at = 0; at < data.length; at += MAX_CHUNK_BYTES) this.#add(type, data.subarray(at, at + MAX_CHUNK_BYTES))
  }

  /** The piece at `cursor`, or the oldest one after it; undefined where there is none yet. */
  read(cursor: number): RingPiece | undefined {
    const chunk = this.#chunks[this.#find(cursor)]
    if (chunk === undefined) return undefined
    const start = Math.max(cursor, chunk.start)
    return { type: chunk.type, data: chunk.data.subarray(start - chunk.start), start, end: endOf(chunk) }
  }

  #add(type: ExecOutput_OutputType, data: Buffer): void {
    const last = this.#chunks.at(-1)
    if (last !== undefined && last.type === type && last.data.length + data.length <= CHUNK_BYTES) {
      last.data = Buffer.concat([last.data, data])
      this.#costBytes += data.length
    } else {
      // A copy, or a small piece would keep all of what it was read with.
      this.#chunks.push({ type, start: this.#end, data: Buffer.from(data) })
      this.#costBytes += data.length + CHUNK_COST_BYTES
    }
    this.#end += data.length
    this.#drop()
  }

  /** The index of the first chunk that ends after `cursor`. */
  #find(cursor: number): number {
    let low = this.#first
    let high = this.#chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const chunk = this.#chunks[middle]
      if (chunk !== undefined && endOf(chunk) <= cursor) low = middle + 1
      else high = middle
    }
    return low
  }

  #drop(): void {
    while (this.#costBytes > this.#maxBytes) {
      const oldest = this.#chunks[this.#first]
      if (oldest === undefined) return
      this.#costBytes -= oldest.data.length + CHUNK_COST_BYTES
      oldest.data = Buffer.alloc(0)
      this.#first += 1
    }
    if (this.#first < this.#chunks.length / 2) return
    this.#chunks = this.#chunks.slice(this.#first)
    this.#first = 0
  }
}

function endOf({ start, data }: Chunk): number {
  return start + data.length
}
