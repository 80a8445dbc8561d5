import { isUtf8 } from 'node:buffer'
import type { Readable } from 'node:stream'

/** The beginning of what a command prints, up to a cap; the rest is read and thrown away, so that it can go on. */
export class CappedOutput {
  readonly #maxBytes: number
  readonly #chunks: Buffer[] = []
  #length = 0
  truncated = false

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  add(chunk: Buffer): void {
    const room = this.#maxBytes - this.#length
    if (chunk.length > room) this.truncated = true
    if (room <= 0) return
    const kept = chunk.length > room ? chunk.subarray(0, room) : chunk
    this.#chunks.push(kept)
    this.#length += kept.length
  }

  bytes(): Buffer {
    return this.#chunks.length === 1 && this.#chunks[0] ? this.#chunks[0] : Buffer.concat(this.#chunks)
  }
}

/** Output in the two forms of an answer: `bytes` only where `text` is not exact. */
export interface OutputText {
  readonly text: string
  readonly bytes: Buffer | undefined
}

/**
 * As UTF-8, with U+FFFD for what is none. A character cut in two by the cap is left out of the text and is not
 * held against it. The text is no longer than `maxBytes`, though each stray byte takes three in it.
 */
export function outputText(bytes: Buffer, truncated: boolean, maxBytes: number): OutputText {
  const whole = truncated ? bytes.subarray(0, endOfLastCharacter(bytes)) : bytes
  if (isUtf8(whole)) return { text: whole.toString('utf8'), bytes: undefined }
  const text = bytes.toString('utf8')
  return { text: Buffer.byteLength(text) > maxBytes ? cut(text, maxBytes) : text, bytes }
}

/** Resolves when the stream has ended. One that breaks has ended too: why, the process says. */
export function ended(stream: Readable): Promise<void> {
  if (stream.readableEnded || stream.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    stream.once('end', resolve)
    stream.once('close', resolve)
    stream.once('error', () => resolve())
  })
}

function cut(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text, 'utf8').subarray(0, maxBytes)
  return bytes.subarray(0, endOfLastCharacter(bytes)).toString('utf8')
}

/** Before a sequence of UTF-8 that begins in the last three bytes and is not complete. */
function endOfLastCharacter(bytes: Buffer): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if ((byte & 0xc0) === 0x80) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return length > back ? bytes.length - back : bytes.length
  }
  return bytes.length
}
