import { constants } from 'node:os'

/**
 * A POSIX error on its way to whoever asked, as a positive number. Thrown on hot paths (a failed lookup is an
 * everyday answer), so the instances are made once and carry no stack.
 */
export class Errno extends Error {
  readonly code: number

  private constructor(name: string, code: number) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    super(name)
    Error.stackTraceLimit = limit
    this.name = name
    this.code = code
  }

  static readonly #made = new Map<string, Errno>()

  /** The one instance for a name such as `ENOENT`. */
  static of(name: keyof typeof constants.errno | 'ENODATA'): Errno {
    let made = Errno.#made.get(name)
    if (made === undefined) {
      made = new Errno(name, constants.errno[name as keyof typeof constants.errno])
      Errno.#made.set(name, made)
    }
    return made
  }

  /** The one for a number. EIO for one that nobody knows. */
  static ofCode(code: number): Errno {
    for (const [name, number] of Object.entries(constants.errno)) {
      if (number === code) return Errno.of(name as keyof typeof constants.errno)
    }
    return EIO
  }
}

export const EPERM = Errno.of('EPERM')
export const ENOENT = Errno.of('ENOENT')
export const EIO = Errno.of('EIO')
export const EACCES = Errno.of('EACCES')
export const EBUSY = Errno.of('EBUSY')
export const EEXIST = Errno.of('EEXIST')
export const EDQUOT = Errno.of('EDQUOT')
export const EXDEV = Errno.of('EXDEV')
export const ENOTDIR = Errno.of('ENOTDIR')
export const EISDIR = Errno.of('EISDIR')
export const EINVAL = Errno.of('EINVAL')
export const EFBIG = Errno.of('EFBIG')
export const ENOSPC = Errno.of('ENOSPC')
export const EMLINK = Errno.of('EMLINK')
export const ERANGE = Errno.of('ERANGE')
export const ENAMETOOLONG = Errno.of('ENAMETOOLONG')
export const ENOSYS = Errno.of('ENOSYS')
export const ENOTEMPTY = Errno.of('ENOTEMPTY')
export const ENODATA = Errno.of('ENODATA')
export const EOPNOTSUPP = Errno.of('EOPNOTSUPP')
export const ESTALE = Errno.of('ESTALE')
export const ENXIO = Errno.of('ENXIO')
export const EROFS = Errno.of('EROFS')

/**
 * A failure of the host's disk as the caller's own error, where it is one that a caller can mend or wait for;
 * anything else stays what it is, and ends as EIO with a line in the log.
 */
export function asErrno(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG' || code === 'EROFS' ? Errno.of(code) : error
}
