import type { Syscalls } from './syscalls.ts'

/**
 * Files of the host that the kernel may read and write without us, each registered once for each mount.
 *
 * While an inode has passthrough handles, every further open of it must name the very same registration, or fails
 * with EBUSY. So one that is in use is never dropped; idle ones are kept for the next open, the oldest dropped
 * first, because each holds its file (and the disk space of a deleted one).
 */
export interface Backings {
  /** 0: the kernel does not take that file (another stacked filesystem, too little privilege). */
  acquire(key: string, fd: number): number
  release(backingId: number): void
}

export const MAX_IDLE_BACKINGS = 256

export function createBackings(deviceFd: number, syscalls: Syscalls): Backings {
  const byKey = new Map<string, Backing>()
  const byId = new Map<number, Backing>()
  /** In the order in which they became idle. */
  const idle = new Set<Backing>()
  const argument = Buffer.alloc(16)

  return {
    acquire(key, fd) {
      const backing = byKey.get(key) ?? register(key, fd)
      if (backing === null) return 0
      backing.opens++
      idle.delete(backing)
      return backing.id
    },
    release(backingId) {
      const backing = byId.get(backingId)
      if (backing === undefined || --backing.opens > 0) return
      idle.add(backing)
      if (idle.size > MAX_IDLE_BACKINGS) for (const oldest of idle) return drop(oldest)
    },
  }

  function register(key: string, fd: number): Backing | null {
    argument.fill(0)
    argument.writeInt32LE(fd, 0)
    const id = syscalls.ioctl(deviceFd, FUSE_DEV_IOC_BACKING_OPEN, argument)
    if (id <= 0) return null
    const backing = { key, id, opens: 0 }
    byKey.set(key, backing)
    byId.set(id, backing)
    return backing
  }

  function drop(backing: Backing): void {
    idle.delete(backing)
    byKey.delete(backing.key)
    byId.delete(backing.id)
    argument.writeUInt32LE(backing.id, 0)
    syscalls.ioctl(deviceFd, FUSE_DEV_IOC_BACKING_CLOSE, argument)
  }
}

interface Backing {
  readonly key: string
  readonly id: number
  opens: number
}

/** _IOW(229, 1, struct fuse_backing_map) and _IOW(229, 2, uint32_t). */
const FUSE_DEV_IOC_BACKING_OPEN = 0x4010e501
const FUSE_DEV_IOC_BACKING_CLOSE = 0x4004e502
