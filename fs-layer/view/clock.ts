import { platform } from 'node:os'
import { cFunctions } from '../c-library.ts'

/** Seconds and nanoseconds since 1970. */
export interface ClockTime {
  sec: number
  nsec: number
}

/**
 * The time that inodes are stamped with: that of the clock's last tick (CLOCK_REALTIME_COARSE), which is what the kernel
 * stamps with where it keeps times itself (`writeback`; current_time in fs/inode.c). With a finer clock a file could be
 * made here and, by the kernel, be written to before that; with the same one the kernel finds a file that is made and
 * written within a tick up to date, and has nothing to send when it is closed.
 *
 * The same object every time.
 */
export function coarseTime(): Readonly<ClockTime> {
  if (!isLinux || readCoarse(CLOCK_REALTIME_COARSE, timespec) !== 0) {
    const nowMs = Date.now()
    time.sec = Math.floor(nowMs / 1000)
    time.nsec = (nowMs % 1000) * 1e6
    return time
  }
  time.sec = words[0]! + words[1]! * 2 ** 32
  time.nsec = words[2]!
  return time
}

const CLOCK_REALTIME_COARSE = 5
const time: ClockTime = { sec: 0, nsec: 0 }
/** `struct timespec` of a 64-bit system. */
const words = new Uint32Array(4)
const timespec = Buffer.from(words.buffer)
/** Only Linux has that clock. */
const isLinux = platform() === 'linux'
const { clock_gettime: readCoarse } = cFunctions<{ clock_gettime(clock: number, into: Buffer): number }>({
  clock_gettime: ['int', ['int', 'void *']],
})
