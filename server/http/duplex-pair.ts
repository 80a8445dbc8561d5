import { Duplex } from 'node:stream'

/** Two ends of one connection within this process; what is written to one is read from the other. */
export function duplexPair(): [Duplex, Duplex] {
  const one: End = new End()
  const other: End = new End()
  one.peer = other
  other.peer = one
  return [one, other]
}

class End extends Duplex {
  peer: End | undefined
  #resume: (() => void) | undefined

  override _read(): void {
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    // Not done before the other end wants more: so neither holds more than it was told to.
    if (this.peer?.push(chunk) === false) this.peer.#resume = done
    else queueMicrotask(done)
  }

  override _final(done: () => void): void {
    this.peer?.push(null)
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
    if (this.peer?.destroyed === false) this.peer.destroy()
    done(error)
  }
}
