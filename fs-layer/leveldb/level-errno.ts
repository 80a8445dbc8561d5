import { ENOSPC, EROFS, type Errno } from '../protocol/errno.ts'

/**
 * The errno of a failure of LevelDB, where it is one that a caller can mend or wait for. Its binding hands on no number,
 * only the text of strerror(3).
 */
export function levelErrno(error: unknown): Errno | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (/No space left on device|Disk quota exceeded/.test(at.message)) return ENOSPC
    if (at.message.includes('Read-only file system')) return EROFS
  }
  return undefined
}

/** What LevelDB itself said, under what was put around it. */
export function levelReason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  return cause instanceof Error ? cause.message : String(cause)
}
