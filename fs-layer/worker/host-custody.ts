import { constants } from 'node:fs'
import { getSystemErrorName } from 'node:util'
import type { Custody } from '../device/kernel/custody.ts'
import type { Syscalls } from '../device/kernel/syscalls.ts'
import type { Descriptors } from './epoll.ts'
import type { Errand } from './messages.ts'

/** The custody of the thread that started this one (`custodian.ts`), by messages. */
export interface HostCustody extends Custody, Descriptors {
  /** It has answered. */
  done(id: number, errno: number): void
}

const O_CLOEXEC = 0x80000

export function hostCustody(syscalls: Syscalls, post: (errand: Errand) => void): HostCustody {
  const waiting = new Map<number, (errno: number) => void>()
  let nextId = 1
  const ask = (errand: (id: number) => Errand) =>
    new Promise<number>((resolve) => {
      const id = nextId++
      waiting.set(id, resolve)
      post(errand(id))
    })
  return {
    outlives: true,
    open() {
      // Not through Node, which closes what it has opened when the thread ends.
      const fd = syscalls.open('/dev/fuse', constants.O_RDWR | constants.O_NONBLOCK | O_CLOEXEC)
      if (fd < 0) throw new Error(`open /dev/fuse: ${getSystemErrorName(-syscalls.errno())}`)
      post({ do: 'opened', fd })
      return fd
    },
    opened: (fd) => post({ do: 'opened', fd }),
    close: (fd) => post({ do: 'close', fd }),
    write: (fd, bytes) => ask((id) => ({ do: 'write', id, fd, bytes })),
    umount: (target, flags) => ask((id) => ({ do: 'umount', id, target, flags })),
    done(id, errno) {
      waiting.get(id)?.(errno)
      waiting.delete(id)
    },
  }
}
