import type { Finding } from '../choose.ts'
import { loadFuseNative } from './binding.ts'

/** Whether the package and its library can be loaded. What they may mount shows only when they do. */
export async function probeFuseNative(): Promise<Finding> {
  try {
    loadFuseNative()
    return { able: true, reason: 'the package fuse-native and libfuse.so.2 are there' }
  } catch (error) {
    return { able: false, reason: error instanceof Error ? error.message : String(error) }
  }
}
