import { isUtf8 } from 'node:buffer'
import { levelErrno } from '../leveldb/level-errno.ts'
import { ENOSPC, EROFS } from '../protocol/errno.ts'
import type { ByteString } from '../protocol/filesystem.ts'
import type { Hash } from './objects.ts'

/**
 * - `missing`: an object that is asked for or referred to is not in the store
 * - `corrupt`: what is stored is not what was stored
 * - `mismatch`: what was sent has another hash or size than was declared
 * - `full`: no room on the disk
 * - `locked`: another process has the store open
 * - `format`: the store was made by a later version
 * - `closed`: used after it was closed
 * - `read-only`: the disk of the store takes no writes
 * - `io`: the disk or the database failed in another way
 * - `invalid`: an argument that no correct caller would send; the message names it
 * - `limit`: more than a limit of `limits.ts`
 * - `duplicate`, `missing-parent`, `not-a-directory`, `is-a-directory`, `not-found`: of a path in a version
 * - `changed`: a local file changed while it was read
 */
export type StoreErrorCode =
  | 'missing'
  | 'corrupt'
  | 'mismatch'
  | 'full'
  | 'locked'
  | 'format'
  | 'closed'
  | 'read-only'
  | 'io'
  | 'invalid'
  | 'limit'
  | 'duplicate'
  | 'missing-parent'
  | 'not-a-directory'
  | 'is-a-directory'
  | 'not-found'
  | 'changed'

export interface StoreErrorData {
  readonly hash?: Hash
  /** The offending path, as bytes. */
  readonly path?: ByteString
  readonly cause?: unknown
}

export class StoreError extends Error {
  readonly code: StoreErrorCode
  readonly hash?: Hash
  readonly path?: ByteString

  /** A path in `data` is added to the message in printable form. */
  constructor(code: StoreErrorCode, message: string, data: StoreErrorData = {}) {
    const where = data.path === undefined ? '' : `: ${printablePath(data.path)}`
    super(message + where, data.cause === undefined ? undefined : { cause: data.cause })
    this.name = 'StoreError'
    this.code = code
    if (data.hash !== undefined) this.hash = data.hash
    if (data.path !== undefined) this.path = data.path
  }
}

const MAX_PRINTED_BYTES = 300

/** A byte string as text for people: UTF-8 where it is that, with all that could fool a terminal escaped. */
export function printablePath(path: ByteString): string {
  const bytes = Buffer.from(path.slice(0, MAX_PRINTED_BYTES), 'latin1')
  const text = isUtf8(bytes) ? bytes.toString('utf8') : bytes.toString('latin1')
  const escaped = text.replace(/[\p{C}"\\\u2028\u2029]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
  })
  return `"${escaped}"${path.length > MAX_PRINTED_BYTES ? ' …' : ''}`
}

/** For errors of Node's file calls and of LevelDB on their way out of the store. */
export function asStoreError(error: unknown, doing: string, data: StoreErrorData = {}): StoreError {
  if (error instanceof StoreError) return error
  const code = codeOf(error)
  const reason = error instanceof Error ? error.message : String(error)
  const more = { ...data, cause: error }
  if (code === 'ENOSPC' || code === 'EDQUOT' || levelErrno(error) === ENOSPC) {
    return new StoreError('full', `No room left on the disk of the store while ${doing}; make room and try again`, more)
  }
  if (code === 'EROFS' || levelErrno(error) === EROFS) {
    return new StoreError(
      'read-only',
      `The disk of the store is read-only (${doing}); make it writable and try again`,
      more,
    )
  }
  if (code === 'LEVEL_CORRUPTION')
    return new StoreError('corrupt', `The database is damaged (${doing}): ${reason}`, more)
  if (code === 'LEVEL_DATABASE_NOT_OPEN') return new StoreError('closed', `The store is closed (${doing})`, more)
  return new StoreError('io', `Failed while ${doing}: ${reason}`, more)
}

export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
