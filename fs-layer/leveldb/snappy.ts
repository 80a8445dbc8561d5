import { Cursor } from './varint.ts'

/** Decodes a block that LevelDB has compressed (google/snappy, format_description.txt). Throws a RangeError. */
export function unsnapped(bytes: Buffer): Buffer {
  const from = new Cursor(bytes)
  const into = Buffer.alloc(from.varint())
  let at = 0
  while (!from.atEnd) {
    const tag = from.byte()
    if ((tag & 3) === LITERAL) {
      const length = tag >>> 2 < 60 ? (tag >>> 2) + 1 : from.littleEndian((tag >>> 2) - 59) + 1
      at += from.bytes(length).copy(into, at)
      continue
    }
    const isShort = (tag & 3) === SHORT_COPY
    const length = isShort ? 4 + ((tag >>> 2) & 7) : (tag >>> 2) + 1
    const back = isShort ? ((tag >>> 5) << 8) | from.byte() : from.littleEndian((tag & 3) === LONG_COPY ? 4 : 2)
    if (back === 0 || back > at || at + length > into.length) throw new RangeError('a copy from nowhere')
    // Byte by byte: what is copied may overlap itself.
    for (const end = at + length; at < end; at++) into[at] = into[at - back] as number
  }
  return into
}

const LITERAL = 0
const SHORT_COPY = 1
const LONG_COPY = 3
