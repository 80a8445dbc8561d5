import { CONTROL } from './handle-control.ts'
import { ENTRIES } from './handle-entries.ts'
import { FILES } from './handle-files.ts'
import { INODES } from './handle-inodes.ts'
import type { Handler } from './serving.ts'

/** By opcode. What is not here is answered ENOSYS, which most often means "never ask again". */
export const HANDLERS: readonly (Handler | undefined)[] = fill((_opcode, _minBodyBytes, handler) => handler)
export const MIN_BODY_BYTES: readonly (number | undefined)[] = fill((_opcode, minBodyBytes) => minBodyBytes)

function fill<T>(pick: (opcode: number, minBodyBytes: number, handler: Handler) => T): (T | undefined)[] {
  const table: (T | undefined)[] = []
  for (const [opcode, minBodyBytes, handler] of [...CONTROL, ...ENTRIES, ...INODES, ...FILES]) {
    table[opcode] = pick(opcode, minBodyBytes, handler)
  }
  return table
}
