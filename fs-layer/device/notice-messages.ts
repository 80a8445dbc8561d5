import {
  NOTIFY_INVAL_ENTRY,
  NOTIFY_INVAL_INODE,
  NOTIFY_PRUNE,
  NOTIFY_RETRIEVE,
  NOTIFY_STORE,
  OUT_HEADER_BYTES,
} from '../protocol/constants.ts'
import type { ByteString, NodeId } from '../protocol/filesystem.ts'

/** The bytes of notices, for whichever way they take to the kernel. */

export function entryMessage(parent: NodeId, name: ByteString): Buffer {
  const bytes = Buffer.from(name, 'latin1')
  const message = notice(NOTIFY_INVAL_ENTRY, 16 + bytes.length + 1)
  message.writeBigUInt64LE(BigInt(parent), OUT_HEADER_BYTES)
  message.writeUInt32LE(bytes.length, OUT_HEADER_BYTES + 8)
  bytes.copy(message, OUT_HEADER_BYTES + 16)
  return message
}

/** A negative offset spares the pages; length 0 is "to the end". */
export function nodeMessage(node: NodeId, contents: boolean): Buffer {
  const message = notice(NOTIFY_INVAL_INODE, 24)
  message.writeBigUInt64LE(BigInt(node), OUT_HEADER_BYTES)
  message.writeBigInt64LE(contents ? 0n : -1n, OUT_HEADER_BYTES + 8)
  return message
}

export function pruneMessage(nodes: readonly NodeId[]): Buffer {
  const message = notice(NOTIFY_PRUNE, 16 + 8 * nodes.length)
  message.writeUInt32LE(nodes.length, OUT_HEADER_BYTES)
  nodes.forEach((node, index) => message.writeBigUInt64LE(BigInt(node), OUT_HEADER_BYTES + 16 + 8 * index))
  return message
}

export function storeMessage(node: NodeId, offset: number, data: Buffer): Buffer {
  const message = notice(NOTIFY_STORE, 24 + data.length)
  message.writeBigUInt64LE(BigInt(node), OUT_HEADER_BYTES)
  message.writeBigUInt64LE(BigInt(offset), OUT_HEADER_BYTES + 8)
  message.writeUInt32LE(data.length, OUT_HEADER_BYTES + 16)
  data.copy(message, OUT_HEADER_BYTES + 24)
  return message
}

/** Asks for no bytes of a node, to be answered with a NOTIFY_REPLY that has this number. */
export function retrieveMessage(node: NodeId, unique: number): Buffer {
  const message = notice(NOTIFY_RETRIEVE, 32)
  message.writeBigUInt64LE(BigInt(unique), OUT_HEADER_BYTES)
  message.writeBigUInt64LE(BigInt(node), OUT_HEADER_BYTES + 8)
  return message
}

/** A message with unique 0 is a notice, and its error field the code. */
function notice(code: number, bodyBytes: number): Buffer {
  const message = Buffer.alloc(OUT_HEADER_BYTES + bodyBytes)
  message.writeUInt32LE(message.length, 0)
  message.writeInt32LE(code, 4)
  return message
}
