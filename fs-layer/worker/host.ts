import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { Errno } from '../protocol/errno.ts'
import type { Log } from '../protocol/log.ts'
import type { Change } from '../view/changes.ts'
import type { FileEvent } from '../view/file-event.ts'
import type { NodeInfo } from '../view/node-info.ts'
import type { TrailEntry } from '../view/trail-entry.ts'
import type { FsLayer, FsLayerOptions, ViewHandle, ViewSpec } from './api.ts'
import { closeIdleLatencyRequest, openIdleLatencyRequest } from './idle-latency.ts'
import type { Call, Failure, Pulled, Response } from './messages.ts'
import { plainFields } from './plain-fields.ts'
import type { SessionOptions } from './session.ts'

/**
 * Starts the filesystem thread. The store must be open in this process already: LevelDB's lock is the
 * process's.
 */
export async function openFsLayer(options: FsLayerOptions): Promise<FsLayer> {
  const thread = new Thread(options)
  await thread.ready
  return layerOver(thread)
}

/**
 * The same on the thread of the caller, for a device that cannot run on another (`fuse-native`). The process must
 * never wait for a mount that it serves (ADR 13).
 */
export async function openFsLayerHere(options: FsLayerOptions): Promise<FsLayer> {
  const { Session } = await import('./session.ts')
  const idleLatencyRequest = openIdleLatencyRequest()
  const { storeDir, onLog } = options
  const log: Log = (level, message, fields) => onLog?.(level, message, plainFields(fields))
  const session = await Session.open({ storeDir, idleLatencyRequest }, { log })
  return layerOver({
    died: new Promise(() => undefined),
    call: async <T>(call: Call) => (await session.answer(call)) as T,
    stop: async () => {
      await session.answer({ op: 'stop' })
      closeIdleLatencyRequest(idleLatencyRequest)
    },
  })
}

/** Who answers calls: the filesystem thread, or a session at hand. */
interface Answerer {
  readonly died: Promise<Error>
  call<T = void>(call: Call): Promise<T>
  stop(): Promise<void>
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
    mount: (target, { device = 'kernel', unprivileged = false } = {}) =>
      thread.call({ op: 'mount', view, target, device, unprivileged }),
    unmount: () => thread.call({ op: 'unmount', view }),
    setRules: (rules) => thread.call({ op: 'setRules', view, rules }),
    setOwner: (owner) => thread.call({ op: 'setOwner', view, owner }),
    setQuota: (quota) => thread.call({ op: 'setQuota', view, quota }),
    usage: () => thread.call({ op: 'usage', view }),
    stat: (path, as) => thread.call<NodeInfo>({ op: 'stat', view, as, path }),
    list: (path, as, recursive) => pull<NodeInfo[]>(thread, { op: 'list', view, as, path, recursive }),
    read: (path, as, offset, length) => buffers(pull(thread, { op: 'read', view, as, path, offset, length })),
    async write(path, as, data, options) {
      const stream = await thread.call<number>({ op: 'write', view, as, path, options })
      try {
        for await (const chunk of data) await thread.call({ op: 'feed', stream, data: chunk })
        return await thread.call<NodeInfo>({ op: 'finish', stream })
      } catch (error) {
        await thread.call({ op: 'abandon', stream })
        throw error
      }
    },
    mkdir: (path, as, mode) => thread.call<NodeInfo>({ op: 'mkdir', view, as, path, mode }),
    remove: (path, as, recursive) => thread.call({ op: 'remove', view, as, path, recursive }),
    rename: (from, to, as) => thread.call({ op: 'rename', view, as, from, to }),
    changes: () => pull<Change[]>(thread, { op: 'changes', view }),
    watch: ({ path, cursor }, as, signal) => watch(thread, { op: 'watch', view, as, path, cursor }, signal),
    trail: () => pull<TrailEntry[]>(thread, { op: 'trail', view }),
    exportTar: ({ content, as }) => buffers(pull(thread, { op: 'export', view, as, content })),
    sync: () => thread.call({ op: 'sync', view }),
    close: () => thread.call({ op: 'close', view }),
  }
}

/** One item ahead of the reader: the next is made while this one is used. */
async function* pull<T>(answerer: Answerer, open: Call): AsyncGenerator<T> {
  let pulled = await answerer.call<Pulled<T>>(open)
  const { stream } = pulled
  let ended = pulled.done
  try {
    while (!pulled.done) {
      const next = answerer.call<Pulled<T>>({ op: 'pull', stream })
      // Its failure is the reader's when it comes to it; until then it must not count as unhandled.
      next.catch(() => undefined)
      if (pulled.item !== undefined) yield pulled.item
      pulled = await next
      ended = pulled.done
    }
    if (pulled.item !== undefined) yield pulled.item
  } finally {
    if (!ended) await answerer.call({ op: 'drop', stream })
  }
}

/** As `pull`, but nothing is asked for before it is wanted, and the signal ends the waiting for it. */
async function* watch(answerer: Answerer, open: Call, signal: AbortSignal): AsyncGenerator<FileEvent[]> {
  const stream = await answerer.call<number>(open)
  let dropped: Promise<void> | undefined
  const drop = () => {
    dropped ??= answerer.call({ op: 'drop', stream })
    // Awaited below; until then a thread that has ended must not count as unhandled.
    dropped.catch(() => undefined)
  }
  signal.addEventListener('abort', drop, { once: true })
  try {
    while (!signal.aborted) {
      const { item, done } = await answerer.call<Pulled<FileEvent[]>>({ op: 'pull', stream })
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
  for await (const chunk of chunks) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
}

interface Waiting {
  resolve(value: unknown): void
  reject(error: Error): void
}

/** Calls to the thread and their answers. */
class Thread implements Answerer {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 1
  #stopping = false
  readonly ready: Promise<void>
  readonly died: Promise<Error>

  constructor({ storeDir, onLog }: FsLayerOptions) {
    // This thread's, so that it is closed however that one ends.
    const idleLatencyRequest = openIdleLatencyRequest()
    const workerData: SessionOptions = { storeDir, idleLatencyRequest }
    // The device opens and closes descriptors by itself; Node would warn of those it did not see opened.
    this.#worker = new Worker(compiledEntry(), { workerData, name: 'croft-fs', trackUnmanagedFds: false })
    this.ready = new Promise((resolve, reject) => {
      this.#waiting.set(0, { resolve: () => resolve(), reject })
    })
    this.#worker.on('message', (response: Response) => {
      if ('log' in response) onLog?.(response.log.level, response.log.message, response.log.fields)
      else this.#answer(response)
    })
    this.died = new Promise((resolve) => {
      let reason = new Error('the filesystem thread ended')
      this.#worker.on('error', (error) => {
        reason = error instanceof Error ? error : new Error(String(error))
      })
      this.#worker.on('exit', () => {
        closeIdleLatencyRequest(idleLatencyRequest)
        for (const waiting of this.#waiting.values()) waiting.reject(reason)
        this.#waiting.clear()
        if (!this.#stopping) resolve(reason)
      })
    })
  }

  call<T = void>(call: Call): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const id = this.#nextId++
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
      this.#worker.postMessage({ id, call })
    })
  }

  async stop(): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    const exited = new Promise((resolve) => this.#worker.once('exit', resolve))
    try {
      await this.call({ op: 'stop' })
    } finally {
      await exited
    }
  }

  #answer(response: Exclude<Response, { log: unknown }>): void {
    const waiting = this.#waiting.get(response.id)
    this.#waiting.delete(response.id)
    if ('error' in response) waiting?.reject(revive(response.error))
    else waiting?.resolve(response.value)
  }
}

function revive(failure: Failure): Error {
  if ('errno' in failure) return Errno.of(failure.errno as Parameters<typeof Errno.of>[0])
  return Object.assign(new Error(failure.message), failure.code === undefined ? {} : { code: failure.code })
}

/** Node starts a thread from JavaScript only; run from the TypeScript sources (tests), it is the compiled one. */
function compiledEntry(): URL {
  const beside = new URL('./main.js', import.meta.url)
  return existsSync(fileURLToPath(beside)) ? beside : new URL('../../dist/fs-layer/worker/main.js', import.meta.url)
}
