import { NOTICE_LANES } from '../device/kernel/custody.ts'
import { unmounting } from '../device/kernel/fusermount.ts'
import { createLanes } from '../device/kernel/lanes.ts'
import { createOrderedWrites } from '../device/kernel/ordered-writes.ts'
import { loadSyscalls, MNT_DETACH, MNT_FORCE } from '../device/kernel/syscalls.ts'
import type { Errand } from './messages.ts'

/**
 * Keeps the descriptors that a filesystem thread opens past Node, and makes the system calls that may wait for it: so
 * that it can die at any moment, and nothing is closed that a successor takes over, or left open that none does.
 */
export class Custodian {
  readonly #syscalls = loadSyscalls()
  readonly #umount = unmounting(this.#syscalls)
  readonly #writes = createOrderedWrites(this.#syscalls.writeElsewhere, createLanes(NOTICE_LANES))
  readonly #fds = new Set<number>()

  run(errand: Errand, done: (id: number, errno: number) => void): void {
    switch (errand.do) {
      case 'opened':
        this.#fds.add(errand.fd)
        return
      case 'close':
        this.close(errand.fd)
        return
      case 'write':
        void this.#writes.write(errand.fd, asBuffer(errand.bytes)).then((errno) => done(errand.id, errno))
        return
      case 'umount':
        void this.#umount(errand.target, errand.flags).then((errno) => done(errand.id, errno))
        return
    }
  }

  /** After a thread has ended: what it left open and nobody takes over. */
  closeAllBut(kept: ReadonlySet<number>): void {
    for (const fd of [...this.#fds]) if (!kept.has(fd)) this.close(fd)
  }

  /** Resolves when the notices that a thread gave for it so far have reached the kernel. */
  noticesSent(fd: number): Promise<unknown> {
    return this.#writes.settled(fd)
  }

  has(fd: number): boolean {
    return this.#fds.has(fd)
  }

  close(fd: number): void {
    if (!this.#fds.delete(fd)) return
    this.#writes.forget(fd)
    this.#syscalls.close(fd)
  }

  /**
   * A mount that nobody will serve any more, before its descriptor is closed. The connection is aborted first: a notice
   * on its way may wait for an answer in it, and holds the descriptor.
   */
  async breakOff(target: string): Promise<void> {
    await this.#umount(target, MNT_FORCE)
    await this.#umount(target, MNT_DETACH)
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
