/**
 * 64-bit little-endian integers as JavaScript numbers. The caller sees to it that what is written is a safe
 * integer; `read` returns what may be no safe integer, for the caller to refuse.
 */

export function writeUint64(into: Buffer, value: number, at: number): void {
  into.writeUInt32LE(value % WORD, at)
  into.writeUInt32LE(Math.floor(value / WORD), at + 4)
}

export function readUint64(from: Buffer, at: number): number {
  return from.readUInt32LE(at + 4) * WORD + from.readUInt32LE(at)
}

export function writeInt64(into: Buffer, value: number, at: number): void {
  const high = Math.floor(value / WORD)
  into.writeUInt32LE(value - high * WORD, at)
  into.writeInt32LE(high, at + 4)
}

export function readInt64(from: Buffer, at: number): number {
  return from.readInt32LE(at + 4) * WORD + from.readUInt32LE(at)
}

const WORD = 2 ** 32
