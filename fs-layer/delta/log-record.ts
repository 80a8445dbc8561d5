import { crc32 } from 'node:zlib'
import { type Operation, operationAt, operationBytes, putOperation } from './operations.ts'

/**
 * The log of syncs, as bytes (docs/spec/delta.md). Little-endian.
 *
 *   header, one block:  'croftlog', u32 version, u32 CRC-32 of what follows, salt, u64 bytes of the whole file
 *   record, whole blocks: 'croftrec', u32 bytes of its changes, u32 CRC-32 of what follows, salt,
 *                         u64 the batch before it, u64 its own, changes (`operations.ts`), zeros
 *
 * A record has blocks of its own: one that is torn takes nothing with it that was there before. The salt is random, so
 * that no contents of a file can pass for a record.
 */
export const LOG_BLOCK_BYTES = 4096
export const SALT_BYTES = 16
const LOG_VERSION = 1
const LOG_MAGIC = Buffer.from('croftlog')
const RECORD_MAGIC = Buffer.from('croftrec')
/** Before what the checksum is of. */
const HEAD_BYTES = 16
const PAYLOAD_AT = HEAD_BYTES + SALT_BYTES + 16

/** The records of all changes of a delta since its batch `before`, as they are with `batch`. */
export interface LogRecord {
  readonly before: number
  readonly batch: number
  readonly operations: readonly Operation[]
}

/** What it takes in the log. */
export function recordBytes(operations: readonly Operation[]): number {
  let bytes = PAYLOAD_AT
  for (const operation of operations) bytes += operationBytes(operation)
  return Math.ceil(bytes / LOG_BLOCK_BYTES) * LOG_BLOCK_BYTES
}

export function encodeRecord({ before, batch, operations }: LogRecord, salt: Buffer): Buffer {
  const record = Buffer.allocUnsafeSlow(recordBytes(operations))
  RECORD_MAGIC.copy(record)
  salt.copy(record, HEAD_BYTES)
  record.writeBigUInt64LE(BigInt(before), HEAD_BYTES + SALT_BYTES)
  record.writeBigUInt64LE(BigInt(batch), HEAD_BYTES + SALT_BYTES + 8)
  let end = PAYLOAD_AT
  for (const operation of operations) end = putOperation(record, end, operation)
  record.fill(0, end)
  record.writeUInt32LE(end - PAYLOAD_AT, 8)
  record.writeUInt32LE(crc32(record.subarray(HEAD_BYTES, end)), 12)
  return record
}

/** Of a record of this log whose bytes are not all there, or not as they were written. */
export interface BegunRecord {
  readonly batch: number
  readonly operations: null
  readonly end: number
}

/** What begins at a block. Null: none of its records, or one of which not even the beginning is there. */
export function recordAt(log: Buffer, at: number, salt: Buffer): (LogRecord & { end: number }) | BegunRecord | null {
  if (log.length - at < PAYLOAD_AT || log.compare(RECORD_MAGIC, 0, 8, at, at + 8) !== 0) return null
  if (log.compare(salt, 0, SALT_BYTES, at + HEAD_BYTES, at + HEAD_BYTES + SALT_BYTES) !== 0) return null
  const end = at + PAYLOAD_AT + log.readUInt32LE(at + 8)
  const before = Number(log.readBigUInt64LE(at + HEAD_BYTES + SALT_BYTES))
  const batch = Number(log.readBigUInt64LE(at + HEAD_BYTES + SALT_BYTES + 8))
  if (end > log.length || crc32(log.subarray(at + HEAD_BYTES, end)) !== log.readUInt32LE(at + 12))
    return { batch, operations: null, end: at + LOG_BLOCK_BYTES }
  const operations: Operation[] = []
  for (let next = at + PAYLOAD_AT; next < end; ) {
    const read = operationAt(log, next)
    operations.push(read.operation)
    next = read.end
  }
  return { before, batch, operations, end: Math.ceil(end / LOG_BLOCK_BYTES) * LOG_BLOCK_BYTES }
}

export function encodeHeader(salt: Buffer, bytes: number): Buffer {
  const header = Buffer.alloc(LOG_BLOCK_BYTES)
  LOG_MAGIC.copy(header)
  header.writeUInt32LE(LOG_VERSION, 8)
  salt.copy(header, HEAD_BYTES)
  header.writeBigUInt64LE(BigInt(bytes), HEAD_BYTES + SALT_BYTES)
  header.writeUInt32LE(crc32(header.subarray(HEAD_BYTES)), 12)
  return header
}

/** The salt of a whole log; null where it is none of a form that is known. */
export function saltOf(log: Buffer): Buffer | null {
  const header = log.subarray(0, LOG_BLOCK_BYTES)
  if (header.length < LOG_BLOCK_BYTES || !header.subarray(0, 8).equals(LOG_MAGIC)) return null
  if (header.readUInt32LE(8) !== LOG_VERSION || header.readUInt32LE(12) !== crc32(header.subarray(HEAD_BYTES)))
    return null
  if (header.readBigUInt64LE(HEAD_BYTES + SALT_BYTES) !== BigInt(log.length)) return null
  return Buffer.from(header.subarray(HEAD_BYTES, HEAD_BYTES + SALT_BYTES))
}
