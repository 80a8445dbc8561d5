import { maskedCrc32c } from './crc32c.ts'

/**
 * Records of a log or a manifest (LevelDB, doc/log_format.md): blocks of 32 KiB, in them pieces with a header of a
 * masked CRC-32C, a length and a type. A record is one piece or several.
 */
const BLOCK_BYTES = 32 * 1024
const HEADER_BYTES = 7
const FULL = 1
const FIRST = 2
const MIDDLE = 3
const LAST = 4

export interface LogRecord {
  /** Of its first piece. */
  readonly offset: number
  /** Behind its last piece. */
  readonly end: number
  readonly bytes: Buffer
}

/**
 * All records that are whole, in order. As LevelDB does it at recovery, what is behind a bad piece in its block is left
 * out; so a record that does not begin where the one before it ended stands behind something that is lost.
 */
export function* logRecords(log: Buffer): Generator<LogRecord> {
  let pieces: Buffer[] = []
  let offset = 0
  for (let at = 0; at + HEADER_BYTES <= log.length; ) {
    const blockEnd = at - (at % BLOCK_BYTES) + BLOCK_BYTES
    if (blockEnd - at < HEADER_BYTES) {
      at = blockEnd
      continue
    }
    const piece = pieceAt(log, at, Math.min(blockEnd, log.length))
    if (piece === null) {
      pieces = []
      at = blockEnd
      continue
    }
    if (piece.type === FULL || piece.type === FIRST) {
      pieces = []
      offset = at
    }
    const belongs = piece.type === FULL || piece.type === FIRST || pieces.length > 0
    if (belongs) pieces.push(piece.bytes)
    at += HEADER_BYTES + piece.bytes.length
    if (!belongs || piece.type === FIRST || piece.type === MIDDLE) continue
    yield { offset, end: at, bytes: pieces.length === 1 ? piece.bytes : Buffer.concat(pieces) }
    pieces = []
  }
}

/** Where a record begins that follows one which ended there: a header is not split between blocks. */
export function nextOffset(end: number): number {
  const left = BLOCK_BYTES - (end % BLOCK_BYTES)
  return left < HEADER_BYTES ? end + left : end
}

function pieceAt(log: Buffer, at: number, blockEnd: number): { type: number; bytes: Buffer } | null {
  const length = log.readUInt16LE(at + 4)
  const type = log.readUInt8(at + 6)
  const end = at + HEADER_BYTES + length
  if (type < FULL || type > LAST || end > blockEnd) return null
  if (maskedCrc32c(log.subarray(at + 6, end)) !== log.readUInt32LE(at)) return null
  return { type, bytes: log.subarray(at + HEADER_BYTES, end) }
}
