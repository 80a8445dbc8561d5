import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type CountedGroup, groupOfProcess } from '../cgroup/of-process.ts'
import { type Ended, RuntimeError, type RuntimeName, type Stats } from '../contract/runtime.ts'
import type { Engine } from './engine.ts'
import { HostProcess } from './host-process.ts'
import type { OciLimits } from './limits.ts'
import type { MeetingPlace } from './meeting-place.ts'
import { OWN_PROCESSES } from './plan.ts'

export interface MeetOptions {
  readonly name: string
  readonly runtime: RuntimeName
  /** On the host, of what is process 1 of the container there. */
  readonly processUid: number
  readonly limits: OciLimits
  readonly place: MeetingPlace
  readonly signal: AbortSignal | undefined
}

/** `refused` by an engine that answers. */
export type Removal = 'removed' | 'refused' | 'unavailable'

export interface MeetDependencies {
  readonly engine: Engine
  /** What became of it. Does not reject for an engine that is gone. */
  readonly remove: () => Promise<Removal>
}

/** A container that has been started and whose agent has spoken. */
export class RunningContainer {
  readonly stream: Duplex
  readonly ended: Promise<Ended>
  readonly #process: HostProcess
  readonly #group: CountedGroup
  readonly #waiting: AbortController
  readonly #options: MeetOptions
  readonly #remove: () => Promise<Removal>
  #stopping: Promise<void> | undefined

  private constructor(
    { stream, ended, waiting, process, group }: Met,
    options: MeetOptions,
    { remove }: MeetDependencies,
  ) {
    this.stream = stream
    this.ended = ended
    this.#waiting = waiting
    this.#process = process
    this.#group = group
    this.#options = options
    this.#remove = remove
  }

  /** Rejects with a `RuntimeError`, or with the signal's reason; the container is the caller's to remove then. */
  static async meet(options: MeetOptions, dependencies: MeetDependencies): Promise<RunningContainer> {
    const { name, place, limits } = options
    const waiting = new AbortController()
    const ended = watchEnd(dependencies.engine, name, waiting.signal)
    let stream: Socket | undefined
    try {
      const by = deadline(options, limits.agentMs)
      const gone = ended.then(({ message }) =>
        Promise.reject(failure(options, `the container did not stay: ${message}`)),
      )
      // The last of these that is waited for may not be there to hear it.
      gone.catch(() => undefined)
      try {
        stream = await Promise.race([place.met, gone, by.over])
        const pid = await dependencies.engine.pid(name)
        const process = HostProcess.find(pid, options.processUid)
        if (process === undefined) {
          throw failure(options, `process ${pid} of the container is none of this host's: the engine must run on it`)
        }
        await Promise.race([firstWords(stream), gone, by.over])
        const group = await groupOfProcess(pid)
        return new RunningContainer({ stream, ended, waiting, process, group }, options, dependencies)
      } finally {
        by.clear()
      }
    } catch (error) {
      stream?.destroy()
      waiting.abort()
      throw error
    }
  }

  get pid(): number {
    return this.#process.pid
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  /** What the kernel says: it costs the engine nothing, and is known while that does not answer. */
  async stats(): Promise<Stats> {
    const counted = await this.#group.stats()
    return counted.pids === undefined ? counted : { ...counted, pids: Math.max(0, counted.pids - OWN_PROCESSES) }
  }

  oomKills(): number | undefined {
    return this.#group.oomKills()
  }

  /** The processes first, without the engine: then it has nothing to wait for, and they end also where it is gone. */
  async #stop(): Promise<void> {
    const { limits } = this.#options
    this.stream.destroy()
    this.#group.close()
    this.#process.kill()
    if (!(await this.#process.hasEnded(limits.deathMs))) {
      throw failure(this.#options, `process ${this.#process.pid} did not end within ${limits.deathMs} ms`)
    }
    // Most engines see for themselves that it has ended. One that has not noticed yet may refuse.
    if ((await this.#remove()) === 'refused') {
      await within(this.ended, limits.noticeMs)
      await this.#remove()
    }
    this.#waiting.abort()
    await this.ended
  }
}

/** An engine that hangs is not waited for any longer. */
async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([promise, late])
  clearTimeout(timer)
}

interface Met {
  readonly stream: Duplex
  readonly ended: Promise<Ended>
  readonly waiting: AbortController
  readonly process: HostProcess
  readonly group: CountedGroup
}

/** An engine that goes away tells of no end any more: that is one, since nobody can say what becomes of the container. */
function watchEnd(engine: Engine, name: string, signal: AbortSignal): Promise<Ended> {
  return engine.wait(name, signal).then(
    (exitCode) => ({ exitCode, message: `the container ended with ${exitCode}` }),
    (error: Error) => ({ message: signal.aborted ? 'the container was removed' : error.message }),
  )
}

function failure({ runtime }: MeetOptions, message: string): RuntimeError {
  return new RuntimeError('failed', runtime, message)
}

function deadline(options: MeetOptions, withinMs: number): { over: Promise<never>; clear: () => void } {
  const { signal } = options
  let clear: () => void = () => undefined
  const over = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(failure(options, `the agent did not speak within ${withinMs} ms`)), withinMs)
    const onAbort = () => reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'))
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted === true) onAbort()
    clear = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  })
  over.catch(() => undefined)
  return { over, clear }
}

/** What it said stays in the stream for whoever reads it next. Never resolves for one that says nothing. */
function firstWords(stream: Socket): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (stream.readableLength === 0) return
      stream.removeListener('readable', look)
      resolve()
    }
    stream.on('readable', look)
    look()
  })
}
