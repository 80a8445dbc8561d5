import { arch, constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import koffi from 'koffi'
import { cFunctions } from '../c-library.ts'

/** One epoll instance, level-triggered, for reading. */
export interface Epoll {
  add(fd: number): void
  remove(fd: number): void
  /** Returns the descriptors that are ready, or closed on the other side. -1 waits without end. */
  wait(timeoutMs: number): readonly number[]
  close(): void
}

/** Whose it is: it knows of what is opened, and closes it. */
export interface Descriptors {
  opened(fd: number): void
  close(fd: number): void
}

const libc = cFunctions<{
  epoll_create1(flags: number): number
  epoll_ctl(epollFd: number, operation: number, fd: number, event: Buffer): number
  epoll_wait(epollFd: number, into: Buffer, eventsMax: number, timeoutMs: number): number
  close(fd: number): number
}>({
  epoll_create1: ['int', ['int']],
  epoll_ctl: ['int', ['int', 'int', 'int', 'void *']],
  epoll_wait: ['int', ['int', 'void *', 'int', 'int']],
  close: ['int', ['int']],
})

export function createEpoll(descriptors?: Descriptors): Epoll {
  const epollFd = check('epoll_create1', libc.epoll_create1(EPOLL_CLOEXEC))
  descriptors?.opened(epollFd)
  const event = Buffer.alloc(EVENT_BYTES)
  const events = Buffer.alloc(EVENT_BYTES * MAX_EVENTS)
  const ready: number[] = []
  return {
    add(fd) {
      event.writeUInt32LE(EPOLLIN, 0)
      event.writeInt32LE(fd, DATA_AT)
      check('epoll_ctl', libc.epoll_ctl(epollFd, EPOLL_CTL_ADD, fd, event))
    },
    remove(fd) {
      check('epoll_ctl', libc.epoll_ctl(epollFd, EPOLL_CTL_DEL, fd, event))
    },
    wait(timeoutMs) {
      ready.length = 0
      const count = libc.epoll_wait(epollFd, events, MAX_EVENTS, timeoutMs)
      if (count < 0 && koffi.errno() !== constants.errno.EINTR) check('epoll_wait', count)
      for (let i = 0; i < count; i++) ready.push(events.readInt32LE(i * EVENT_BYTES + DATA_AT))
      return ready
    },
    close() {
      if (descriptors === undefined) check('close', libc.close(epollFd))
      else descriptors.close(epollFd)
    },
  }
}

const EPOLL_CLOEXEC = 0x80000
const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2
const EPOLLIN = 1
/** `struct epoll_event` is packed on x86-64 only. */
const EVENT_BYTES = arch() === 'x64' ? 12 : 16
const DATA_AT = arch() === 'x64' ? 4 : 8
/** More are reported by the next call. */
const MAX_EVENTS = 64

function check(call: string, result: number): number {
  if (result < 0) throw new Error(`${call} failed: ${getSystemErrorName(-koffi.errno())}`)
  return result
}
