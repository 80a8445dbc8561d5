import { closeSync, constants, openSync } from 'node:fs'
import { unmounting } from './fusermount.ts'
import { createLanes } from './lanes.ts'
import { createOrderedWrites } from './ordered-writes.ts'
import type { Syscalls } from './syscalls.ts'

/**
 * Who has the descriptors of mounts, and the calls that may wait for an answer of the serving thread. Where a mount
 * is to outlive its thread that is another thread (`worker/custodian.ts`): Node ends a thread only when its calls on the
 * pool have returned, and these would wait for the dead one.
 */
export interface Custody {
  /** A new connection. Throws as `openSync`. */
  open(): number
  /** One that came in another way, past Node. */
  opened(fd: number): void
  /** Closing aborts what is left of the connection: everyone who waits gets ENOTCONN. */
  close(fd: number): void
  /** Those to one descriptor in their order. Resolves with an errno, or 0. */
  write(fd: number, bytes: Buffer): Promise<number>
  /** The same. */
  umount(target: string, flags: number): Promise<number>
  /** The mount can be served by another thread of this process. */
  readonly outlives: boolean
}

/**
 * The serving thread's own. Opened through Node and not through koffi, so that Node closes it if the thread is
 * terminated: a connection that nobody serves would hang all who use it.
 */
export function ownCustody(syscalls: Syscalls): Custody {
  const umount = unmounting(syscalls)
  const foreign = new Set<number>()
  const writes = createOrderedWrites(syscalls.writeElsewhere, createLanes(NOTICE_LANES))
  return {
    open: () => openSync('/dev/fuse', constants.O_RDWR | constants.O_NONBLOCK),
    opened: (fd) => void foreign.add(fd),
    close(fd) {
      writes.forget(fd)
      if (foreign.delete(fd)) syscalls.close(fd)
      else closeSync(fd)
    },
    write: writes.write,
    umount,
    outlives: false,
  }
}

/**
 * Notices may not take the whole pool of libuv: one can wait for a lock that an FSYNC holds, whose answer needs a
 * thread of the pool. So all mounts share this many of its four threads.
 */
export const NOTICE_LANES = 2
