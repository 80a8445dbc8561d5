import { constants } from 'node:os'
import { getSystemErrorMap } from 'node:util'
import koffi from 'koffi'

/** The system calls that Node does not have, each a plain function of the C library. */
export interface Syscalls {
  /** Unlike Node's, it outlives the thread; close it by `close`. */
  open(path: string, flags: number): number
  close(fd: number): number
  read(fd: number, into: Buffer, length: number): number
  write(fd: number, bytes: Buffer, length: number): number
  ioctl(fd: number, request: number, argument: Buffer): number
  mount(source: string, target: string, type: string, flags: number, data: string): number
  /** Of the call before, on this thread. */
  errno(): number
  /** On another thread: both may wait for requests that this one must answer. Resolve with an errno, or 0. */
  umount(target: string, flags: number): Promise<number>
  writeElsewhere(fd: number, bytes: Buffer): Promise<number>
}

export const MS_NOSUID = 2
export const MS_NODEV = 4
export const MNT_DETACH = 2
export const MNT_FORCE = 1

export const { EAGAIN, EINTR, ENODEV, EINVAL, ENOENT, ENOTCONN } = constants.errno

let loaded: Syscalls | undefined

/** Loads them once for each thread. Linux only. */
export function loadSyscalls(): Syscalls {
  loaded ??= load()
  return loaded
}

/** "ENODEV: no such device". */
export function describeErrno(errno: number): string {
  const [name, text] = getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, 'unknown']
  return `${name}: ${text}`
}

function load(): Syscalls {
  const libc = koffi.load(null)
  // No call here moves more than a few MiB, so `int` holds every length that is returned.
  const open = libc.func('open', 'int', ['str', 'int'])
  const close = libc.func('close', 'int', ['int'])
  const read = libc.func('read', 'int', ['int', 'void *', 'size_t'])
  const write = libc.func('write', 'int', ['int', 'void *', 'size_t'])
  const ioctl = libc.func('ioctl', 'int', ['int', 'unsigned long', 'void *'])
  const mount = libc.func('mount', 'int', ['str', 'str', 'str', 'unsigned long', 'str'])
  const umount2 = libc.func('umount2', 'int', ['str', 'int'])
  const elsewhere = (call: typeof umount2, ...args: unknown[]) =>
    new Promise<number>((resolve, reject) => {
      call.async(...args, (error: unknown, result: number) => {
        if (error) reject(error)
        else resolve(result < 0 ? koffi.errno() : 0)
      })
    })
  return {
    open,
    close,
    read,
    write,
    ioctl,
    mount,
    errno: () => koffi.errno(),
    umount: (target, flags) => elsewhere(umount2, target, flags),
    writeElsewhere: (fd, bytes) => elsewhere(write, fd, bytes, bytes.length),
  }
}
