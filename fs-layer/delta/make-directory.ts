import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { asErrno } from '../protocol/errno.ts'

/** With its parents. Not by Node's `recursive`, which says ENOENT of a disk that is read-only. */
export function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT') throw asErrno(error)
    makeDirectory(dirname(path))
    makeDirectory(path)
  }
}
