import { ArchiveError } from './archive-error.ts'

/** Takes a stream of chunks of any size apart, in order. Whoever makes one closes it. */
export class ByteReader implements AsyncDisposable {
  readonly #source: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)
  #ended = false
  #position = 0

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** How many bytes were read. */
  get position(): number {
    return this.#position
  }

  /** What comes next, which stays to be read; fewer bytes at the end. */
  async peek(length: number): Promise<Buffer> {
    const chunks = [this.#rest]
    let have = this.#rest.length
    while (have < length) {
      const chunk = await this.#next()
      if (chunk === null) break
      chunks.push(chunk)
      have += chunk.length
    }
    if (chunks.length > 1) this.#rest = Buffer.concat(chunks)
    return this.#rest.subarray(0, length)
  }

  /** @throws {ArchiveError} `truncated` */
  async read(length: number): Promise<Buffer> {
    const bytes = await this.peek(length)
    if (bytes.length < length) throw new ArchiveError('truncated', 'The archive ends before its end')
    this.#rest = this.#rest.subarray(length)
    this.#position += length
    return bytes
  }

  /** In the pieces in which they come. @throws {ArchiveError} `truncated` */
  async *take(length: number): AsyncGenerator<Buffer> {
    for (let left = length; left > 0; ) {
      const chunk = this.#rest.length > 0 ? this.#rest : await this.#next()
      if (chunk === null) throw new ArchiveError('truncated', 'The archive ends before its end')
      const piece = chunk.subarray(0, left)
      // Before it is handed out: whoever stops here goes on behind it.
      this.#rest = chunk.subarray(piece.length)
      left -= piece.length
      this.#position += piece.length
      yield piece
    }
  }

  async skip(length: number): Promise<void> {
    for await (const _ of this.take(length));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.return?.()
  }

  async #next(): Promise<Buffer | null> {
    if (this.#ended) return null
    const { done, value } = await this.#source.next()
    this.#ended = done === true
    return done === true ? null : value
  }
}
