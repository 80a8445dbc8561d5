import { statfsSync } from 'node:fs'
import type { EndedCall } from '../api/calls.ts'
import type { Undo } from '../concurrency/undo.ts'
import type { Config } from '../config/schema.ts'
import type { Logger } from './log.ts'
import { Metrics, type MetricsDependencies } from './metrics.ts'
import { type Readiness, readinessOf } from './readiness.ts'
import { StatusListener } from './status-listener.ts'

export interface StatusDependencies extends Omit<MetricsDependencies, 'freeBytes' | 'connections'> {
  readonly connections: () => { readonly connected: number; readonly bytes: { read: number; written: number } }
  /** What is wrong with the filesystem's thread; nothing, where views can be opened and mounted. */
  readonly filesystem: () => string | undefined
  /** The same of the runtime that sandboxes have which name none. */
  readonly runtime: () => Promise<string | undefined>
  readonly isStopping: () => boolean
  readonly log: Logger
  readonly undo: Undo
}

/** What becomes of the calls is counted in any case: it costs less than to ask. */
export class Status {
  readonly #metrics: Metrics
  readonly #config: Pick<Config, 'status' | 'dataDir' | 'limits'>
  readonly #parts: StatusDependencies

  constructor(config: Pick<Config, 'status' | 'dataDir' | 'limits'>, dependencies: StatusDependencies) {
    this.#config = config
    this.#parts = dependencies
    const connections = () => {
      const { connected: open, bytes } = dependencies.connections()
      return { open, bytesRead: bytes.read, bytesWritten: bytes.written }
    }
    this.#metrics = new Metrics({ ...dependencies, connections, freeBytes: () => this.#freeBytes() })
    dependencies.undo.add(async () => this.#metrics[Symbol.dispose]())
  }

  noteCall(call: EndedCall): void {
    this.#metrics.noteCall(call)
  }

  readiness(): Promise<Readiness> {
    return readinessOf(this.#checks())
  }

  async listen(): Promise<void> {
    const { log, undo } = this.#parts
    const listener = await StatusListener.open(this.#config.status, {
      metrics: () => this.#metrics.text(),
      readiness: () => this.readiness(),
    })
    if (listener === undefined) return
    undo.add(() => listener[Symbol.asyncDispose]())
    log.info(
      { ...this.#config.status, ...(listener.address === undefined ? {} : { listen: listener.address }) },
      'status',
    )
  }

  #checks() {
    const { filesystem, runtime, isStopping } = this.#parts
    const least = this.#config.limits.minFreeBytes
    return {
      server: async () => (isStopping() ? 'it is stopping' : undefined),
      filesystem: async () => filesystem(),
      runtime,
      disk: async () => {
        const free = this.#freeBytes()
        return free < least ? `${free} bytes are free, and ${least} should be` : undefined
      },
    }
  }

  #freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#config.dataDir)
    return bavail * bsize
  }
}
