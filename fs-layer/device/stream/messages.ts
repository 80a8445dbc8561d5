import { IN_HEADER_BYTES } from '../../protocol/constants.ts'

/**
 * Cuts a stream of bytes into requests: each begins with its own length in four bytes. Nothing is believed but that
 * length, and only between that of a header and `maxBytes`; what is held is never more than one message and one chunk.
 */
export interface Messages {
  /** Takes what came. `chunk` is copied. */
  push(chunk: Buffer): void
  /** Moves the next whole message to the start of `into`. Its length, 0 where none is whole, -1 where none can be. */
  next(into: Buffer): number
}

export function createMessages(maxBytes: number): Messages {
  let held: Buffer = Buffer.alloc(0)
  let start = 0
  let end = 0

  return {
    push(chunk) {
      if (end + chunk.length > held.length) makeRoom(chunk.length)
      chunk.copy(held, end)
      end += chunk.length
    },
    next(into) {
      if (end - start < LENGTH_BYTES) return 0
      const length = held.readUInt32LE(start)
      if (length < IN_HEADER_BYTES || length > maxBytes) return -1
      if (end - start < length) return 0
      held.copy(into, 0, start, start + length)
      start += length
      if (start === end) start = end = 0
      return length
    },
  }

  /** Memory that nobody has written to yet costs nothing, so there is always room for the largest. */
  function makeRoom(bytes: number): void {
    const kept = end - start
    const needed = kept + bytes
    const into = needed <= held.length ? held : Buffer.allocUnsafeSlow(Math.max(maxBytes + CHUNK_BYTES, needed))
    held.copy(into, 0, start, end)
    held = into
    start = 0
    end = kept
  }
}

const LENGTH_BYTES = 4
/** What a socket hands over at once. */
const CHUNK_BYTES = 65_536
