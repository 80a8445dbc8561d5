/** Reads LevelDB's numbers and strings, one after the other. Throws a RangeError at the end of the bytes. */
export class Cursor {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#at++)
  }

  uint32(): number {
    this.#at += 4
    return this.#bytes.readUInt32LE(this.#at - 4)
  }

  /** Up to 2^53. */
  uint64(): number {
    const low = this.uint32()
    return low + this.uint32() * 2 ** 32
  }

  varint(): number {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = this.byte()
      value += (byte & 0x7f) * factor
      if (byte < 128) return value
    }
  }

  littleEndian(length: number): number {
    this.#at += length
    return this.#bytes.readUIntLE(this.#at - length, length)
  }

  /** With its length before it. */
  string(): Buffer {
    return this.bytes(this.varint())
  }

  bytes(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new RangeError('more bytes are named than are left')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }
}
