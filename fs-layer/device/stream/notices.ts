import { NOTIFY_PRUNE_MINOR } from '../../protocol/constants.ts'
import { type Notifier, ROOT_NODE } from '../../protocol/filesystem.ts'
import { entryMessage, nodeMessage, pruneMessage, retrieveMessage, storeMessage } from '../notice-messages.ts'
import { MAX_WAITING_NOTICE_BYTES, NOTICE_BATCH_BYTES } from './limits.ts'

/**
 * Notices over a stream, in order, a batch at a time.
 *
 * That they have left us says nothing of when they are in force. So each batch ends with a question (NOTIFY_RETRIEVE of
 * no bytes of the root) which whoever pumps answers by a NOTIFY_REPLY of the same number, when it has written all before
 * it to the kernel. The next batch waits for that, so nobody keeps more than one. It is the form of the protocol's own
 * question; the kernel itself answers it for files only (6.18 refuses directories).
 */
export interface StreamNotices extends Notifier {
  /** Of a NOTIFY_REPLY. False: nobody asked for that. */
  answered(unique: number): boolean
  /** What is waiting is given up; with the kernel's connection its caches are gone too. */
  close(): void
}

export interface StreamNoticesDependencies {
  readonly write: (bytes: Buffer) => void
  /** The far side does not take notices, and why that is said. */
  readonly fail: (reason: string) => void
  readonly minor: () => number
  readonly timeoutMs: number
}

export function createStreamNotices({ write, fail, minor, timeoutMs }: StreamNoticesDependencies): StreamNotices {
  const waiting: Buffer[] = []
  let waitingBytes = 0
  let lastUnique = 0
  let underWay: { readonly unique: number; readonly timer: NodeJS.Timeout } | null = null
  let begun = false
  let closed = false
  let whenIdle: (() => void)[] = []

  return {
    entryChanged: (parent, name) => send(entryMessage(parent, name)),
    nodeChanged: (node, contents) => send(nodeMessage(node, contents)),
    stored: (node, offset, data) => send(storeMessage(node, offset, data)),
    prune(nodes) {
      if (minor() >= NOTIFY_PRUNE_MINOR) send(pruneMessage(nodes.map(({ node }) => node)))
      else for (const { parent, name } of nodes) send(entryMessage(parent, name))
    },
    flush: () => (isIdle() ? Promise.resolve() : new Promise((resolve) => whenIdle.push(resolve))),
    answered(unique) {
      if (underWay?.unique !== unique) return false
      clearTimeout(underWay.timer)
      underWay = null
      if (waiting.length > 0) sendBatch()
      else settle()
      return true
    },
    close() {
      closed = true
      waiting.length = 0
      clearTimeout(underWay?.timer)
      underWay = null
      settle()
    },
  }

  function isIdle(): boolean {
    return underWay === null && waiting.length === 0
  }

  function settle(): void {
    const idle = whenIdle
    whenIdle = []
    for (const resolve of idle) resolve()
  }

  function send(message: Buffer): void {
    if (closed) return
    waiting.push(message)
    waitingBytes += message.length
    if (waitingBytes > MAX_WAITING_NOTICE_BYTES) return fail('it does not keep up with notices')
    if (begun || underWay !== null) return
    // What one call changes goes out together.
    begun = true
    queueMicrotask(() => {
      begun = false
      if (!closed && underWay === null) sendBatch()
    })
  }

  function sendBatch(): void {
    let bytes = 0
    let count = 0
    while (count < waiting.length && bytes < NOTICE_BATCH_BYTES) bytes += (waiting[count++] as Buffer).length
    const batch = waiting.splice(0, count)
    waitingBytes -= bytes
    const unique = ++lastUnique
    underWay = { unique, timer: setTimeout(() => fail(`it took no notice for ${timeoutMs} ms`), timeoutMs) }
    write(Buffer.concat([...batch, retrieveMessage(ROOT_NODE, unique)]))
  }
}
