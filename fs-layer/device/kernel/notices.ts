import { NOTIFY_PRUNE_MINOR } from '../../protocol/constants.ts'
import type { Notifier } from '../../protocol/filesystem.ts'
import type { Log } from '../../protocol/log.ts'
import { entryMessage, nodeMessage, pruneMessage, storeMessage } from '../notice-messages.ts'
import type { Lanes } from './lanes.ts'
import { describeErrno, ENODEV, ENOENT, type Syscalls } from './syscalls.ts'

/**
 * Notices of one mount to its kernel, in order, one at a time, from a thread of libuv's pool.
 *
 * They must not leave from the serving thread: INVAL_ENTRY takes the directory's lock, which a `create` in it holds
 * until we answer; INVAL_INODE waits for pages that a READ in flight has locked, and writes dirty ones back first.
 *
 * Nor may they take the whole pool: a notice can wait for a lock that an FSYNC holds, whose answer needs a thread of
 * the pool. So all mounts share `NOTICE_LANES` of its four threads.
 */
export interface Notices extends Notifier {
  /** Resolves when what was asked so far has reached the kernel. Nothing is sent that is asked after `close`. */
  flush(): Promise<void>
  close(): void
}

export const NOTICE_LANES = 2

export interface NoticesDependencies {
  readonly syscalls: Syscalls
  readonly lanes: Lanes
  readonly log: Log
  /** Of the protocol, as agreed with the kernel. */
  readonly minor: () => number
}

export function createNotices(deviceFd: number, { syscalls, lanes, log, minor }: NoticesDependencies): Notices {
  const waiting: Buffer[] = []
  let sending: Promise<void> | null = null
  let closed = false

  return {
    entryChanged: (parent, name) => send(entryMessage(parent, name)),
    nodeChanged: (node, contents) => send(nodeMessage(node, contents)),
    stored: (node, offset, data) => send(storeMessage(node, offset, data)),
    prune(nodes) {
      if (minor() >= NOTIFY_PRUNE_MINOR) send(pruneMessage(nodes.map(({ node }) => node)))
      // What comes near it: the name is dropped, and with it an inode that has no other and is not in use.
      else for (const { parent, name } of nodes) send(entryMessage(parent, name))
    },
    async flush() {
      while (sending !== null) await sending
    },
    close() {
      closed = true
      waiting.length = 0
    },
  }

  function send(message: Buffer): void {
    if (closed) return
    waiting.push(message)
    sending ??= drain().finally(() => {
      sending = null
    })
  }

  async function drain(): Promise<void> {
    for (let message = waiting.shift(); message !== undefined; message = waiting.shift()) {
      const errno = await lanes.run(() =>
        closed ? Promise.resolve(ENODEV) : syscalls.writeElsewhere(deviceFd, message),
      )
      // ENOENT: the kernel has nothing cached of it. ENODEV: the mount is gone, and its caches with it.
      if (errno !== 0 && errno !== ENOENT && errno !== ENODEV) {
        log('error', 'the kernel refused a notice', { error: describeErrno(errno) })
      }
    }
  }
}
