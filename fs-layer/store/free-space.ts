import { statfs } from 'node:fs/promises'
import { asStoreError, StoreError } from './store-error.ts'

/**
 * Refuses what would leave less than `minFreeBytes` on the disk. LevelDB stops for good when it meets a full
 * disk while it tidies up; so the disk is called full while it still has room to work.
 *
 * @throws {StoreError} `full`
 */
export async function checkFreeSpace(dir: string, neededBytes: number, minFreeBytes: number): Promise<void> {
  let free: number
  try {
    const { bavail, bsize } = await statfs(dir)
    free = bavail * bsize
  } catch (error) {
    throw asStoreError(error, 'asking for the free space of the disk')
  }
  if (free - neededBytes >= minFreeBytes) return
  const numbers = `${free} bytes are free, ${neededBytes} are needed and ${minFreeBytes} are kept free`
  throw new StoreError('full', `No room left on the disk of the store ${dir} (${numbers}); make room and try again`)
}
