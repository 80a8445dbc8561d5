import koffi from 'koffi'
import { cFunctions } from '../c-library.ts'
import { EOPNOTSUPP, Errno } from '../protocol/errno.ts'

/** What Node does not have of fallocate(2) and lseek(2), on files of the host. */
export const FALLOC_KEEP_SIZE = 1
export const FALLOC_PUNCH_HOLE = 2
export const FALLOC_ZERO_RANGE = 16
export const SEEK_DATA = 3
const SEEK_HOLE = 4

const libc = cFunctions<{
  fallocate(fd: number, mode: number, offset: number, length: number): number
  lseek(fd: number, offset: number, whence: number): number
}>({
  fallocate: ['int', ['int', 'int', 'int64', 'int64']],
  lseek: ['int64', ['int', 'int64', 'int']],
})

/** False where the disk's filesystem cannot do it; throws an `Errno` for every other failure. */
export function fallocate(fd: number, mode: number, offset: number, length: number): boolean {
  if (libc.fallocate(fd, mode, offset, length) === 0) return true
  const errno = lastErrno()
  if (errno === EOPNOTSUPP) return false
  throw errno
}

/** Where the next data or hole is at or after `offset`, at most `end`. */
export function seek(fd: number, offset: number, whence: number, end: number): number {
  const found = libc.lseek(fd, offset, whence)
  if (found >= 0) return Math.min(found, end)
  const errno = lastErrno()
  // No data up to the end of the file.
  if (errno.name === 'ENXIO') return end
  throw errno
}

/** Bytes of a range for which the disk has set no room aside. */
export function holeBytes(fd: number, from: number, to: number): number {
  let bytes = 0
  for (let at = from; at < to; ) {
    const data = seek(fd, at, SEEK_DATA, to)
    bytes += data - at
    if (data >= to) break
    at = seek(fd, data, SEEK_HOLE, to)
  }
  return bytes
}

function lastErrno(): Errno {
  return Errno.ofCode(koffi.errno())
}
