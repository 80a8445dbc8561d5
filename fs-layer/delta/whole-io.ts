import { readSync, writeSync } from 'node:fs'

/** All of it: the base is fixed and the delta is ours alone, so a file that ends early is damaged. */
export function readFully(fd: number, into: Buffer, at: number, length: number, offset: number): number {
  let done = 0
  while (done < length) {
    const got = readSync(fd, into, at + done, length - done, offset + done)
    if (got === 0) throw new RangeError(`a file ends at byte ${offset + done}, before byte ${offset + length}`)
    done += got
  }
  return done
}

/** All of it, or an error; what came before the error is written. */
export function writeFully(fd: number, data: Buffer, offset: number): void {
  let done = 0
  while (done < data.length) done += writeSync(fd, data, done, data.length - done, offset + done)
}
