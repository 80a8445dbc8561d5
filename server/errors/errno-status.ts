import { getSystemErrorMap } from 'node:util'
import type { Errno } from '../../fs-layer/protocol/errno.ts'
import { CroftError, type StatusName } from './croft-error.ts'

/** What the filesystem refuses, as a status. What is not listed is a fault of ours. */
const STATUS_OF_ERRNO: Readonly<Record<string, StatusName>> = {
  ENOENT: 'NOT_FOUND',
  ENODATA: 'NOT_FOUND',
  EACCES: 'PERMISSION_DENIED',
  EPERM: 'PERMISSION_DENIED',
  EROFS: 'PERMISSION_DENIED',
  EEXIST: 'ALREADY_EXISTS',
  ENOTDIR: 'INVALID_ARGUMENT',
  EISDIR: 'INVALID_ARGUMENT',
  EINVAL: 'INVALID_ARGUMENT',
  ENAMETOOLONG: 'INVALID_ARGUMENT',
  ERANGE: 'INVALID_ARGUMENT',
  ELOOP: 'INVALID_ARGUMENT',
  EXDEV: 'INVALID_ARGUMENT',
  ENOTEMPTY: 'FAILED_PRECONDITION',
  EBUSY: 'FAILED_PRECONDITION',
  ENXIO: 'FAILED_PRECONDITION',
  ENOSPC: 'RESOURCE_EXHAUSTED',
  EDQUOT: 'RESOURCE_EXHAUSTED',
  EFBIG: 'RESOURCE_EXHAUSTED',
  EMLINK: 'RESOURCE_EXHAUSTED',
  ESTALE: 'ABORTED',
  EINTR: 'ABORTED',
  ENOSYS: 'UNIMPLEMENTED',
  EOPNOTSUPP: 'UNIMPLEMENTED',
  EIO: 'DATA_LOSS',
}

/** What Node has no text for. */
const TEXTS: Readonly<Record<string, string>> = { EDQUOT: 'disk quota exceeded' }

/** `undefined` for an errno that no caller can be the reason of. */
export function errnoToCroftError(error: Errno, path?: string): CroftError | undefined {
  const code = STATUS_OF_ERRNO[error.name]
  if (code === undefined) return undefined
  const about = path === undefined ? '' : `${path}: `
  const text = TEXTS[error.name] ?? getSystemErrorMap().get(-error.code)?.[1] ?? 'failed'
  return new CroftError(code, `${about}${text} (${error.name})`, { reason: error.name })
}
