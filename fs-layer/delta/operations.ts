import type { BatchOperation, Level } from 'level'

export type Operation = BatchOperation<Level<Buffer, Buffer>, Buffer, Buffer>

/**
 * Changes of records as bytes: u32 key length, u32 value length + 1 (0: deleted), key, value. Little-endian. What is in
 * memory for an heir and what is in the log of syncs have this form.
 */
export const OPERATION_HEADER_BYTES = 8

export function operationBytes(operation: Operation): number {
  return OPERATION_HEADER_BYTES + operation.key.length + (operation.type === 'put' ? operation.value.length : 0)
}

/** Returns where it ends. */
export function putOperation(into: Buffer, at: number, operation: Operation): number {
  into.writeUInt32LE(operation.key.length, at)
  into.writeUInt32LE(operation.type === 'put' ? operation.value.length + 1 : 0, at + 4)
  let end = at + OPERATION_HEADER_BYTES
  end += operation.key.copy(into, end)
  if (operation.type === 'put') end += operation.value.copy(into, end)
  return end
}

/** With copies of its bytes. */
export function operationAt(bytes: Buffer, at: number): { operation: Operation; end: number } {
  const keyEnd = at + OPERATION_HEADER_BYTES + bytes.readUInt32LE(at)
  const valueLength = bytes.readUInt32LE(at + 4) - 1
  const end = keyEnd + Math.max(0, valueLength)
  if (end > bytes.length) throw new RangeError(`a change at byte ${at} goes beyond the bytes that there are`)
  const key = Buffer.from(bytes.subarray(at + OPERATION_HEADER_BYTES, keyEnd))
  if (valueLength < 0) return { operation: { type: 'del', key }, end }
  return { operation: { type: 'put', key, value: Buffer.from(bytes.subarray(keyEnd, end)) }, end }
}

/** The last one of each key. */
export class LastOfEachKey {
  readonly #byKey = new Map<string, Operation>()

  add(operation: Operation): void {
    this.#byKey.set(operation.key.toString('latin1'), operation)
  }

  get operations(): Operation[] {
    return [...this.#byKey.values()]
  }
}
