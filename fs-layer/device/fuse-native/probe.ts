import { platform } from 'node:os'
import type { Finding } from '../choose.ts'
import { loadFuseNative } from './binding.ts'

/** Whether the package and its library can be loaded, by somebody who may mount and unmount. */
export async function probeFuseNative(): Promise<Finding> {
  // Others would need fusermount to unmount what they have mounted, and `user_allow_other` in /etc/fuse.conf.
  if (platform() === 'linux' && process.geteuid?.() !== 0) return { able: false, reason: 'it needs root; run as root' }
  try {
    loadFuseNative()
    return { able: true, reason: 'the package fuse-native and libfuse.so.2 are there' }
  } catch (error) {
    return { able: false, reason: error instanceof Error ? error.message : String(error) }
  }
}
