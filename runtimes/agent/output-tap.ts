import type { Readable } from 'node:stream'
import { deferred } from './deferred.ts'

type Sink = (data: Buffer) => void | Promise<void>

/**
 * Hands what a stream brings to whoever listens at the moment, one piece at a time: the next is not taken until
 * the last has been dealt with, so that a slow listener stops the writer.
 */
export class OutputTap {
  readonly #stream: Readable
  readonly #otherwise: Sink
  #sink: Sink | undefined
  #inFlightBytes = 0
  #deliveredBytes = 0
  #waiting: { atBytes: number; resolve: () => void }[] = []
  #over = false

  constructor(stream: Readable, otherwise: Sink) {
    this.#stream = stream
    this.#otherwise = otherwise
    const end = () => {
      this.#over = true
      this.#release()
    }
    stream.once('end', end)
    stream.once('close', end)
    stream.on('readable', () => void this.#pump())
  }

  /** Undefined: to whoever takes the rest. What has come before goes to the one before. */
  deliverTo(sink: Sink | undefined): void {
    this.#sink = sink
  }

  /** Resolves when all that has arrived by now has been dealt with. */
  delivered(): Promise<void> {
    const atBytes = this.#deliveredBytes + this.#inFlightBytes + this.#stream.readableLength
    const { promise, resolve } = deferred<void>()
    this.#waiting.push({ atBytes, resolve })
    this.#release()
    return promise
  }

  async #pump(): Promise<void> {
    if (this.#inFlightBytes > 0) return
    for (let data = this.#stream.read() as Buffer | null; data !== null; data = this.#stream.read() as Buffer | null) {
      this.#inFlightBytes = data.length
      try {
        await (this.#sink ?? this.#otherwise)(data)
      } catch {
        // A listener that fails wants no more; the command goes on, and the failure is the listener's to tell.
        this.#sink = undefined
      }
      this.#inFlightBytes = 0
      this.#deliveredBytes += data.length
      this.#release()
    }
  }

  #release(): void {
    const due = (at: number) => this.#over || this.#deliveredBytes >= at
    for (const { atBytes, resolve } of this.#waiting) if (due(atBytes)) resolve()
    this.#waiting = this.#waiting.filter(({ atBytes }) => !due(atBytes))
  }
}
