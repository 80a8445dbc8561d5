import { lstat, readdir } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import { DeviceError } from './device.ts'

/** Refuses a mount point on which a mount would hide something, or would not be where the caller thinks. */
export async function checkTarget(target: string): Promise<void> {
  if (!isAbsolute(target)) throw new DeviceError('TARGET_UNFIT', `mount point ${target} is not an absolute path`)
  let names: string[]
  try {
    if (!(await lstat(target)).isDirectory()) {
      throw new DeviceError('TARGET_UNFIT', `mount point ${target} is not a directory`)
    }
    names = await readdir(target)
  } catch (error) {
    if (error instanceof DeviceError) throw error
    throw new DeviceError('TARGET_UNFIT', `mount point ${target} cannot be used: ${describe(error)}`, { cause: error })
  }
  if (names.length > 0) throw new DeviceError('TARGET_UNFIT', `mount point ${target} is not empty`)
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
