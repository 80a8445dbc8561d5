import type { Log } from '../protocol/log.ts'
import type { CutPart } from '../store/cut-part.ts'
import type { Change } from '../view/changes.ts'
import type { FileEvent } from '../view/file-event.ts'
import type { NodeInfo } from '../view/node-info.ts'
import type { Reverted } from '../view/revert.ts'
import type { TrailEntry } from '../view/trail-entry.ts'
import type { FsLayer, FsLayerOptions, ViewHandle, ViewSpec } from './api.ts'
import { closeIdleLatencyRequest, openIdleLatencyRequest } from './idle-latency.ts'
import type { Call, Pulled } from './messages.ts'
import { plainFields } from './plain-fields.ts'
import { Supervisor } from './supervisor.ts'

/**
 * Starts the filesystem thread. The store must be open in this process already: LevelDB's lock is the
 * process's.
 */
export async function openFsLayer(options: FsLayerOptions): Promise<FsLayer> {
  return layerOver(await Supervisor.open(options))
}

/**
 * The same on the thread of the caller, for a device that cannot run on another (`fuse-native`). The process must
 * never wait for a mount that it serves (ADR 13).
 */
export async function openFsLayerHere(options: FsLayerOptions): Promise<FsLayer> {
  const { Session } = await import('./session.ts')
  const idleLatencyRequest = openIdleLatencyRequest()
  const { storeDir, syncLogBytes, onLog } = options
  const log: Log = (level, message, fields) => onLog?.(level, message, plainFields(fields))
  const session = await Session.open({ storeDir, syncLogBytes, idleLatencyRequest }, { log })
  const here = { hasEnded: false, call: async <T>(call: Call) => (await session.answer(call)) as T }
  const never = new Promise<never>(() => undefined)
  return layerOver({
    died: never,
    whenLost: () => never,
    call: here.call,
    thread: async () => here,
    stop: async () => {
      await session.answer({ op: 'stop' })
      closeIdleLatencyRequest(idleLatencyRequest)
    },
  })
}

/** Who answers calls: the filesystem thread and its successors, or a session at hand. */
interface Answerer {
  readonly died: Promise<Error>
  whenLost(view: string): Promise<Error>
  call<T = void>(call: Call): Promise<T>
  /** For all calls of one stream. */
  thread(view: string): Promise<StreamThread>
  stop(): Promise<void>
}

interface StreamThread {
  readonly hasEnded: boolean
  call<T = void>(call: Call): Promise<T>
}

function layerOver(answerer: Answerer): FsLayer {
  return {
    died: answerer.died,
    async openView(spec) {
      await answerer.call({ op: 'open', view: spec.id, ...withoutId(spec) })
      return viewHandle(answerer, spec)
    },
    async [Symbol.asyncDispose]() {
      await answerer.stop()
    },
  }
}

function withoutId({ base, deltaDir, rules, owner, quota = {} }: ViewSpec) {
  return { base, deltaDir, rules, owner, quota }
}

function viewHandle(thread: Answerer, { id: view }: ViewSpec): ViewHandle {
  return {
    lost: thread.whenLost(view),
    async mount(target, { device = 'kernel', unprivileged = false } = {}) {
      await thread.call({ op: 'mount', view, target, device, unprivileged })
    },
    unmount: () => thread.call({ op: 'unmount', view }),
    setRules: (rules) => thread.call({ op: 'setRules', view, rules }),
    setOwner: (owner) => thread.call({ op: 'setOwner', view, owner }),
    setQuota: (quota) => thread.call({ op: 'setQuota', view, quota }),
    setBandwidth: (bandwidth) => thread.call({ op: 'setBandwidth', view, bandwidth }),
    usage: () => thread.call({ op: 'usage', view }),
    stat: (path, as) => thread.call<NodeInfo>({ op: 'stat', view, as, path }),
    list: (path, as, recursive) => pull<NodeInfo[]>(thread, { op: 'list', view, as, path, recursive }),
    read: (path, as, offset, length) => buffers(pull(thread, { op: 'read', view, as, path, offset, length })),
    async write(path, as, data, options) {
      const one = await thread.thread(view)
      const stream = await one.call<number>({ op: 'write', view, as, path, options })
      try {
        // One is held back, so that the last goes along with the end.
        let last: Buffer | undefined
        for await (const chunk of data) {
          if (last !== undefined) await one.call({ op: 'feed', stream, data: last })
          last = chunk
        }
        return await one.call<NodeInfo>({ op: 'finish', stream, data: last })
      } catch (error) {
        if (!one.hasEnded) await one.call({ op: 'abandon', stream })
        throw error
      }
    },
    mkdir: (path, as, mode) => thread.call<NodeInfo>({ op: 'mkdir', view, as, path, mode }),
    remove: (path, as, recursive) => thread.call({ op: 'remove', view, as, path, recursive }),
    rename: (from, to, as) => thread.call({ op: 'rename', view, as, from, to }),
    changes: () => pull<Change[]>(thread, { op: 'changes', view }),
    cut: () => cutParts(pull<CutPart>(thread, { op: 'cut', view })),
    changeCount: () => thread.call<number>({ op: 'changeCount', view }),
    revert: (options) => pull<Reverted[]>(thread, { op: 'revert', view, options }),
    watch: ({ path, cursor }, as, signal) => watch(thread, { op: 'watch', view, as, path, cursor }, signal),
    trail: () => pull<TrailEntry[]>(thread, { op: 'trail', view }),
    exportTar: ({ content, as }) => buffers(pull(thread, { op: 'export', view, as, content })),
    sync: () => thread.call({ op: 'sync', view }),
    close: () => thread.call({ op: 'close', view }),
  }
}

/** One item ahead of the reader: the next is made while this one is used. */
async function* pull<T>(answerer: Answerer, open: Call & { view: string }): AsyncGenerator<T> {
  const thread = await answerer.thread(open.view)
  let pulled = await thread.call<Pulled<T>>(open)
  const { stream } = pulled
  let ended = pulled.done
  try {
    while (!pulled.done) {
      const next = thread.call<Pulled<T>>({ op: 'pull', stream })
      // Its failure is the reader's when it comes to it; until then it must not count as unhandled.
      next.catch(() => undefined)
      if (pulled.item !== undefined) yield pulled.item
      pulled = await next
      ended = pulled.done
    }
    if (pulled.item !== undefined) yield pulled.item
  } finally {
    if (!ended && !thread.hasEnded) await thread.call({ op: 'drop', stream })
  }
}

/** As `pull`, but nothing is asked for before it is wanted, and the signal ends the waiting for it. */
async function* watch(
  answerer: Answerer,
  open: Call & { view: string },
  signal: AbortSignal,
): AsyncGenerator<FileEvent[]> {
  const thread = await answerer.thread(open.view)
  const stream = await thread.call<number>(open)
  let dropped: Promise<void> | undefined
  const drop = () => {
    if (thread.hasEnded) return
    dropped ??= thread.call({ op: 'drop', stream })
    // Awaited below; until then a thread that has ended must not count as unhandled.
    dropped.catch(() => undefined)
  }
  signal.addEventListener('abort', drop, { once: true })
  try {
    while (!signal.aborted) {
      const { item, done } = await thread.call<Pulled<FileEvent[]>>({ op: 'pull', stream })
      if (done) return
      if (item !== undefined) yield item
    }
  } finally {
    signal.removeEventListener('abort', drop)
    drop()
    await dropped
  }
}

async function* buffers(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) yield asBuffer(chunk)
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** A buffer that came from another thread is a plain array of bytes. */
async function* cutParts(parts: AsyncIterable<CutPart>): AsyncGenerator<CutPart> {
  for await (const part of parts) yield 'data' in part ? { data: asBuffer(part.data) } : part
}
