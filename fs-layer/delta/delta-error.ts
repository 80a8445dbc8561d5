import { join } from 'node:path'
import { levelErrno, levelReason } from '../leveldb/level-errno.ts'
import { asErrno, Errno } from '../protocol/errno.ts'

/**
 * - `damaged`: what is on the disk is not what was written there
 * - `format`: written by another version of Croft
 * - `base`: it belongs to another base
 */
export type DeltaErrorCode = 'damaged' | 'format' | 'base'

/** A delta that cannot be opened. The message says what is wrong, where, and what helps. */
export class DeltaError extends Error {
  readonly code: DeltaErrorCode

  constructor(code: DeltaErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'DeltaError'
    this.code = code
  }
}

export const REMEDY = 'Nothing was changed. Restore the directory of this sandbox from a backup, or destroy the sandbox'

/** Of a delta that is there: what cannot be decoded is as bad as what LevelDB cannot read. */
export function openingFault(error: unknown, dir: string): unknown {
  if (error instanceof DeltaError) return error
  const known = levelErrno(error) ?? asErrno(error)
  if (known instanceof Errno) return known
  return new DeltaError('damaged', `${join(dir, 'index')} cannot be read: ${levelReason(error)}. ${REMEDY}`, {
    cause: error,
  })
}
