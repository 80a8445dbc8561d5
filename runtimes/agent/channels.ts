import { Readable, Writable } from 'node:stream'

/** Credit that every output channel begins with, and the most that is ever held for one whose reader is slow. */
export const OUTPUT_WINDOW_BYTES = 262_144

export interface OutputLink {
  grant(bytes: number): void
  /** The reader has gone before the end. */
  abandon(): void
}

/**
 * What a process writes. What is buffered here and what the agent may still send are together at most one
 * window: a reader that stops stops the process, through the agent and its pipe.
 */
export class OutputChannel extends Readable {
  readonly #link: OutputLink
  #granted = OUTPUT_WINDOW_BYTES
  #ended = false

  constructor(link: OutputLink) {
    super({ highWaterMark: OUTPUT_WINDOW_BYTES / 2 })
    this.#link = link
  }

  /** False where the agent sent more than it had credit for, or after its end. */
  receive(data: Buffer): boolean {
    if (this.#ended || data.length > this.#granted) return false
    this.#granted -= data.length
    // A small piece is copied, or it would keep all of what was read with it in memory.
    if (!this.destroyed) this.push(data.length < 4096 ? Buffer.from(data) : data)
    return true
  }

  /** False where it had ended already. */
  end(): boolean {
    if (this.#ended) return false
    this.#ended = true
    if (!this.destroyed) this.push(null)
    return true
  }

  get ended(): boolean {
    return this.#ended
  }

  override _read(): void {
    // Asked before the bytes that are being read leave the buffer: how much room there is shows just after.
    queueMicrotask(() => this.#grant())
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#ended) this.#link.abandon()
    done(error)
  }

  #grant(): void {
    if (this.#ended || this.destroyed) return
    const more = OUTPUT_WINDOW_BYTES - this.readableLength - this.#granted
    // A quarter at a time spares frames; less than that never stalls, for then there is credit left.
    if (more < OUTPUT_WINDOW_BYTES / 4) return
    this.#granted += more
    this.#link.grant(more)
  }
}

export interface InputLink {
  data(data: Buffer): void
  end(): void
}

/**
 * What a process reads. When it stops reading before the end, the stream is destroyed without an error, as an
 * `error` that nobody listens to would end the server: writes after that fail with ERR_STREAM_DESTROYED.
 */
export class InputChannel extends Writable {
  readonly #link: InputLink
  readonly #maxFrameBytes: number
  readonly #windowBytes: number
  #credit: number
  #waiting: (() => void) | undefined
  #ended = false

  constructor(link: InputLink, limits: { windowBytes: number; maxFrameBytes: number }) {
    super({ highWaterMark: limits.windowBytes })
    this.#link = link
    this.#maxFrameBytes = limits.maxFrameBytes
    this.#windowBytes = limits.windowBytes
    this.#credit = limits.windowBytes
  }

  /** False where there would be more credit than the agent has room. */
  credit(bytes: number): boolean {
    if (bytes === 0 || bytes > this.#windowBytes - this.#credit) return false
    this.#credit += bytes
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.()
    return true
  }

  /** The agent has closed it; false where it had done so already. */
  close(): boolean {
    if (this.#ended) return false
    this.#ended = true
    this.destroy()
    return true
  }

  get closedByAgent(): boolean {
    return this.#ended
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    let rest = chunk
    const send = (): void => {
      while (rest.length > 0 && this.#credit > 0) {
        const piece = rest.subarray(0, Math.min(this.#credit, this.#maxFrameBytes))
        this.#credit -= piece.length
        rest = rest.subarray(piece.length)
        this.#link.data(piece)
      }
      if (rest.length === 0) done()
      else this.#waiting = send
    }
    send()
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#link.end()
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#waiting = undefined
    // Given up by its writer half-way: to the process this is the end of the input.
    if (!this.#ended && !this.writableFinished) this.#link.end()
    done(error)
  }
}
