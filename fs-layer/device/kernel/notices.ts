import { NOTIFY_PRUNE_MINOR } from '../../protocol/constants.ts'
import type { Notifier } from '../../protocol/filesystem.ts'
import type { Log } from '../../protocol/log.ts'
import { entryMessage, nodeMessage, pruneMessage, storeMessage } from '../notice-messages.ts'
import { describeErrno, ENODEV, ENOENT } from './syscalls.ts'

/**
 * Notices of one mount to its kernel, in order, one at a time, from another thread.
 *
 * They must not leave from the serving thread: INVAL_ENTRY takes the directory's lock, which a `create` in it holds
 * until we answer; INVAL_INODE waits for pages that a READ in flight has locked, and writes dirty ones back first.
 *
 * One that makes the kernel ask leaves at once: nothing is lost if the change that it tells of dies with this thread.
 * One that brings bytes leaves when the change is whole, and sure.
 */
export interface Notices extends Notifier {
  /** Resolves when what was asked so far has reached the kernel. Nothing is sent that is asked after `close`. */
  flush(): Promise<void>
  close(): void
}

export interface NoticesDependencies {
  /** In order. Resolves with an errno, or 0. */
  readonly write: (message: Buffer) => Promise<number>
  /** Makes sure of what has been changed. */
  readonly save: () => void
  readonly log: Log
  /** Of the protocol, as agreed with the kernel. */
  readonly minor: () => number
}

export function createNotices({ write, save, log, minor }: NoticesDependencies): Notices {
  const sending = new Set<Promise<void>>()
  let closed = false

  return {
    entryChanged: (parent, name) => send(entryMessage(parent, name)),
    nodeChanged: (node, contents) => send(nodeMessage(node, contents)),
    stored(node, offset, data) {
      keep(
        Promise.resolve().then(() => {
          save()
          return deliver(storeMessage(node, offset, data))
        }),
      )
    },
    prune(nodes) {
      if (minor() >= NOTIFY_PRUNE_MINOR) send(pruneMessage(nodes.map(({ node }) => node)))
      // What comes near it: the name is dropped, and with it an inode that has no other and is not in use.
      else for (const { parent, name } of nodes) send(entryMessage(parent, name))
    },
    async flush() {
      while (sending.size > 0) await Promise.all(sending)
    },
    close() {
      closed = true
    },
  }

  function send(message: Buffer): void {
    keep(deliver(message))
  }

  function keep(sent: Promise<void>): void {
    sending.add(sent)
    void sent.then(() => sending.delete(sent))
  }

  async function deliver(message: Buffer): Promise<void> {
    if (closed) return
    const errno = await write(message)
    // ENOENT: the kernel has nothing cached of it. ENODEV: the mount is gone, and its caches with it.
    if (errno !== 0 && errno !== ENOENT && errno !== ENODEV) {
      log('error', 'the kernel refused a notice', { error: describeErrno(errno) })
    }
  }
}
