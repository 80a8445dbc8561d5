import { Duplex } from 'node:stream'
import { AgentError } from '../contract/agent.ts'
import { OUTPUT_WINDOW_BYTES } from './channels.ts'
import { type Frame, INPUT_WINDOW_BYTES, MAX_PAYLOAD_BYTES } from './codec.ts'

/**
 * One connection over the loop-back inside. The two ways end apart. What the agent says is checked: the methods
 * that take it return what is wrong, or undefined. The agent has the last word, CLOSED; until then the id is
 * taken, also after a `destroy` here.
 */
export class RemoteStream extends Duplex {
  readonly #id: number
  readonly #send: (frame: Frame) => void
  /** What the agent may still send, and what we may. */
  #granted = OUTPUT_WINDOW_BYTES
  #credit = INPUT_WINDOW_BYTES
  #readOver = false
  #closedByAgent = false
  #waiting: (() => void) | undefined

  constructor(id: number, send: (frame: Frame) => void) {
    super({ allowHalfOpen: true, highWaterMark: OUTPUT_WINDOW_BYTES / 2 })
    // Why it broke shows in `destroyed` and in what is piped; an error that nobody listens to would end the server.
    this.on('error', () => undefined)
    this.#id = id
    this.#send = send
  }

  receive(data: Buffer): string | undefined {
    if (this.#readOver || data.length === 0 || data.length > this.#granted)
      return 'more of a stream than it had credit for'
    this.#granted -= data.length
    // A small piece is copied, or it would keep all of what was read with it in memory.
    if (!this.destroyed) this.push(data.length < 4096 ? Buffer.from(data) : data)
    return undefined
  }

  receiveEnd(): string | undefined {
    if (this.#readOver) return 'a second end of a stream'
    this.#readOver = true
    if (!this.destroyed) this.push(null)
    return undefined
  }

  receiveCredit(bytes: number): string | undefined {
    if (bytes === 0 || bytes > INPUT_WINDOW_BYTES - this.#credit) return 'more credit for a stream than it has room'
    this.#credit += bytes
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.()
    return undefined
  }

  /** The agent has closed it, in order or for the errno, or is gone itself. */
  lose(errno: string | undefined): void {
    this.#closedByAgent = true
    if (this.destroyed) return
    if (errno === undefined && this.#readOver) {
      // What has come is still to be read; what was written has gone.
      this.#waiting?.()
      if (!this.writableFinished) this.end()
      return
    }
    this.destroy(new AgentError('closed', `the connection inside ended: ${errno ?? 'the agent is gone'}`, errno))
  }

  override _read(): void {
    // Asked before the bytes that are being read leave the buffer: how much room there is shows just after.
    queueMicrotask(() => {
      if (this.#readOver || this.#closedByAgent || this.destroyed) return
      const more = OUTPUT_WINDOW_BYTES - this.readableLength - this.#granted
      if (more < OUTPUT_WINDOW_BYTES / 4) return
      this.#granted += more
      this.#send({ type: 'streamCredit', id: this.#id, bytes: more })
    })
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    let rest = chunk
    const send = (): void => {
      if (this.#closedByAgent) {
        done()
        return
      }
      while (rest.length > 0 && this.#credit > 0) {
        const piece = rest.subarray(0, Math.min(this.#credit, MAX_PAYLOAD_BYTES))
        this.#credit -= piece.length
        rest = rest.subarray(piece.length)
        this.#send({ type: 'streamData', id: this.#id, data: piece })
      }
      if (rest.length === 0) done()
      else this.#waiting = send
    }
    send()
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.#closedByAgent) this.#send({ type: 'streamEnd', id: this.#id })
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#waiting = undefined
    // In order, where both ways have ended: then the agent closes it by itself.
    const inOrder = this.#readOver && this.writableFinished
    if (!this.#closedByAgent && !inOrder) this.#send({ type: 'streamReset', id: this.#id })
    done(error)
  }
}
