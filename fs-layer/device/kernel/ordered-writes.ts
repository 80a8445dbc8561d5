import type { Lanes } from './lanes.ts'
import { ENODEV } from './syscalls.ts'

/**
 * write(2) on threads of libuv's pool: those to one descriptor in their order, one at a time, and those to all together
 * only on so many threads as there are lanes.
 */
export interface OrderedWrites {
  /** Resolves with an errno, or 0. */
  write(fd: number, bytes: Buffer): Promise<number>
  /** Resolves when what was given so far is written. */
  settled(fd: number): Promise<unknown>
  /** Before the descriptor is closed, and its number another file's: what waits is not written (ENODEV). */
  forget(fd: number): void
}

export function createOrderedWrites(
  writeElsewhere: (fd: number, bytes: Buffer) => Promise<number>,
  lanes: Lanes,
): OrderedWrites {
  const queues = new Map<number, Queue>()

  return {
    write(fd, bytes) {
      const queue = queues.get(fd) ?? { isForgotten: false, last: Promise.resolve(0) }
      queues.set(fd, queue)
      const written = queue.last.then(() =>
        lanes.run(() => (queue.isForgotten ? Promise.resolve(ENODEV) : writeElsewhere(fd, bytes))),
      )
      queue.last = written
      void written.then(() => {
        if (queue.last === written && queues.get(fd) === queue) queues.delete(fd)
      })
      return written
    },
    settled: (fd) => queues.get(fd)?.last ?? Promise.resolve(),
    forget(fd) {
      const queue = queues.get(fd)
      if (queue !== undefined) queue.isForgotten = true
      queues.delete(fd)
    },
  }
}

interface Queue {
  isForgotten: boolean
  /** The youngest write. */
  last: Promise<number>
}
