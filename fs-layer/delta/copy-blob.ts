import { chmodSync, constants, copyFileSync, statSync } from 'node:fs'
import { chmod, copyFile, rm } from 'node:fs/promises'

// A reflink where the disk can; the mode is the store's (read-only), so it is changed before use.
const { COPYFILE_FICLONE } = constants

/** Copies a blob's file, of which at least so many bytes must be there. */
export function copyBlob(from: string, to: string, leastBytes: number): void {
  copyFileSync(from, to, COPYFILE_FICLONE)
  chmodSync(to, 0o600)
  checkSize(from, to, leastBytes)
}

/** The same on another thread. Nothing is left where it fails. */
export async function copyBlobBeside(from: string, to: string, leastBytes: number): Promise<void> {
  try {
    await copyFile(from, to, COPYFILE_FICLONE)
    await chmod(to, 0o600)
    checkSize(from, to, leastBytes)
  } catch (error) {
    await rm(to, { force: true })
    throw error
  }
}

function checkSize(from: string, to: string, leastBytes: number): void {
  const { size } = statSync(to)
  if (size < leastBytes) throw new RangeError(`${from} has ${size} bytes, not ${leastBytes}`)
}
