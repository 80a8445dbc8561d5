import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { Errno } from '../protocol/errno.ts'
import { FsLayerError } from './fs-layer-error.ts'
import { closeIdleLatencyRequest, openIdleLatencyRequest } from './idle-latency.ts'
import type { Call, Errand, Failure, Kept, Request, Response } from './messages.ts'
import type { SessionOptions } from './session.ts'
import { createWatch, type Watch } from './watch.ts'

export interface ThreadOptions {
  readonly storeDir: string
  /** What its JavaScript may take. Default: Node's. */
  readonly heapMaxMiB?: number | undefined
  readonly syncLogBytes?: number | undefined
  readonly silenceMaxMs: number
}

/** Who hears of what the thread says beside its answers. */
export interface ThreadListener {
  log(level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>): void
  errand(thread: Thread, errand: Errand): void
  keep(kept: Kept): void
  /** It has ended by itself, all that it said has been heard, and the calls under way are about to fail. */
  died(thread: Thread, reason: Error): void
}

interface Waiting {
  resolve(value: unknown): void
  reject(error: Error): void
}

/** One filesystem thread: calls to it, and their answers. */
export class Thread {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 1
  /** The call that ends it in good order, and whether that has been answered. */
  #stopId = -1
  #hasStopped = false
  #ended: FsLayerError | null = null
  /** Looks whether it still answers, while a call waits. */
  readonly #watch: Watch
  readonly ready: Promise<void>

  constructor({ storeDir, heapMaxMiB, syncLogBytes, silenceMaxMs }: ThreadOptions, listener: ThreadListener) {
    // This thread's, so that it is closed however that one ends.
    const idleLatencyRequest = openIdleLatencyRequest()
    const workerData: SessionOptions = { storeDir, syncLogBytes, idleLatencyRequest }
    this.#worker = new Worker(compiledEntry(), {
      workerData,
      name: 'croft-fs',
      resourceLimits: heapMaxMiB === undefined ? {} : { maxOldGenerationSizeMb: heapMaxMiB },
    })
    this.ready = new Promise((resolve, reject) => {
      this.#waiting.set(0, { resolve: () => resolve(), reject })
    })
    this.#watch = createWatch(silenceMaxMs, {
      ask: () => this.#post({ id: PING_ID, call: { op: 'ping' } }),
      isStuck: () => {
        const text = `the filesystem thread has not answered for ${silenceMaxMs / 1000} s`
        reason = new Error(`it had not answered for ${silenceMaxMs / 1000} s`)
        this.#fail(new FsLayerError('thread-stuck', text))
        void this.#worker.terminate()
      },
    })
    this.#worker.on('message', (response: Response) => {
      if ('log' in response) listener.log(response.log.level, response.log.message, response.log.fields)
      else if ('errand' in response) listener.errand(this, response.errand)
      else if ('keep' in response) listener.keep(response.keep)
      else this.#answer(response)
    })
    let reason = new Error('it was terminated')
    this.#worker.on('error', (error) => {
      reason = error instanceof Error ? error : new Error(String(error))
    })
    this.#worker.on('exit', () => {
      closeIdleLatencyRequest(idleLatencyRequest)
      const ended = new FsLayerError('thread-died', `the filesystem thread has died: ${reason.message}`, reason)
      this.#ended ??= ended
      if (!this.#hasStopped) listener.died(this, reason)
      this.#fail(ended)
    })
  }

  get hasEnded(): boolean {
    return this.#ended !== null
  }

  call<T = void>(call: Call): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#ended !== null) return reject(this.#ended)
      const id = this.#nextId++
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
      this.#post({ id, call })
      this.#watch.start()
    })
  }

  errandDone(done: number, errno: number): void {
    if (this.#ended === null) this.#post({ done, errno })
  }

  /** Rejects where it dies over it: then not everything is flushed. */
  async stop(): Promise<void> {
    const exited = new Promise((resolve) => this.#worker.once('exit', resolve))
    const stopped = this.call({ op: 'stop' })
    this.#stopId = this.#nextId - 1
    try {
      await stopped
    } finally {
      await exited
    }
  }

  /** No more calls are taken, and none waits. */
  #fail(error: FsLayerError): void {
    this.#ended ??= error
    this.#watch.stop()
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
  }

  #post(request: Request): void {
    this.#worker.postMessage(request)
  }

  #answer(response: Extract<Response, { id: number }>): void {
    // Only an answer tells that its loop turns: what a handler says by the way comes out of an endless one too.
    this.#watch.heard()
    if (response.id === this.#stopId && 'value' in response) this.#hasStopped = true
    const waiting = this.#waiting.get(response.id)
    this.#waiting.delete(response.id)
    if (this.#waiting.size === 0) this.#watch.stop()
    if ('error' in response) waiting?.reject(revive(response.error))
    else waiting?.resolve(response.value)
  }
}

/** The answer to it is of interest to nobody, but that it came. */
const PING_ID = -2

function revive(failure: Failure): Error {
  if ('errno' in failure) return Errno.of(failure.errno as Parameters<typeof Errno.of>[0])
  return Object.assign(new Error(failure.message), failure.code === undefined ? {} : { code: failure.code })
}

/** Node starts a thread from JavaScript only; run from the TypeScript sources (tests), it is the compiled one. */
function compiledEntry(): URL {
  const beside = new URL('./main.js', import.meta.url)
  return existsSync(fileURLToPath(beside)) ? beside : new URL('../../dist/fs-layer/worker/main.js', import.meta.url)
}
