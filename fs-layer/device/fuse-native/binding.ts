import { createRequire } from 'node:module'
import { isMainThread } from 'node:worker_threads'
import { DeviceError } from '../device.ts'

/** What is used of the package `fuse-native`, which has no types of its own. */
export interface FuseNative {
  new (target: string, operations: Operations, options: FuseNativeOptions): FuseNativeMount
  /** Looked up by the package itself at every close. */
  unmount(target: string, done: (error: Error | null) => void): void
}

export interface FuseNativeMount {
  open(done: (error: Error | null) => void): void
  close(done: (error: Error | null) => void): void
}

export interface FuseNativeOptions {
  allowOther: boolean
  defaultPermissions: boolean
  fsname: string
  subtype: string
  timeout: false
}

/** The last argument of each is the call that answers: a negative errno or 0, then the result. */
// biome-ignore lint/suspicious/noExplicitAny: thirty-five shapes of another package; `operations.ts` types each one.
export type Operations = Record<string, (...args: any[]) => void>

/**
 * Loads the package only when it is wanted: it is optional, and its native part needs libfuse 2 at run time. It
 * calls back on the first event loop of the process, so in any other thread it would corrupt memory.
 */
export function loadFuseNative(): FuseNative {
  if (!isMainThread) {
    throw new DeviceError('DEVICE_MISSING', 'the fuse-native device works only in the main thread of a process')
  }
  try {
    return createRequire(import.meta.url)('fuse-native') as FuseNative
  } catch (cause) {
    throw new DeviceError(
      'DEVICE_MISSING',
      'the fuse-native device cannot be loaded: it needs the optional package fuse-native and the library libfuse.so.2 (Debian: apt-get install libfuse2)',
      { cause },
    )
  }
}
