import { statfsSync } from 'node:fs'
import type { Estate } from '../delta/estate.ts'
import { JournalMemory } from '../delta/journal-memory.ts'
import { OPEN_FILES_MAX, SYNC_LOG_BYTES } from '../delta/limits.ts'
import { OpenFiles } from '../delta/open-files.ts'
import type { Device, DeviceName } from '../device/device.ts'
import type { Custody } from '../device/kernel/custody.ts'
import { kernelDevice } from '../device/kernel/device.ts'
import { streamDevice } from '../device/stream/device.ts'
import { compilePolicy } from '../policy/policy.ts'
import { EBUSY, ENOENT } from '../protocol/errno.ts'
import type { Statfs } from '../protocol/filesystem.ts'
import type { Log } from '../protocol/log.ts'
import { StoreReader } from '../store/reader.ts'
import { changesOf } from '../view/changes.ts'
import { cutParts } from '../view/cut.ts'
import { exportTar } from '../view/export.ts'
import type { FileWriter, HostAccess } from '../view/host-access.ts'
import type { Principal } from '../view/node-info.ts'
import { OpenView, type ViewRemains } from '../view/open-view.ts'
import type { Descriptors } from './epoll.ts'
import { type IdleLatencyRequest, idleLatency } from './idle-latency.ts'
import { createLoop, type Loop } from './loop.ts'
import type { Call, Pulled } from './messages.ts'

/** Of changes and of a trail, in one message. */
const CHUNK_ITEMS = 512

export interface SessionOptions {
  readonly storeDir: string
  /** Default: `SYNC_LOG_BYTES`. */
  readonly syncLogBytes?: number | undefined
  /** Whoever opened it closes it after the session. */
  readonly idleLatencyRequest: IdleLatencyRequest | null
}

export interface SessionDependencies {
  readonly log: Log
  /** Of a thread that has a successor when it dies: whoever keeps what is to outlive it. */
  readonly heir?: Heir
}

export interface Heir {
  readonly custody: Custody & Descriptors
  estate(view: string, part: keyof ViewRemains): Estate
}

/** All that the filesystem thread holds: the store, the open views and the streams somebody reads. */
export class Session {
  readonly #store: StoreReader
  readonly #storeDir: string
  readonly #syncLogBytes: number
  readonly #log: Log
  readonly #heir: Heir | undefined
  readonly #journalMemory = new JournalMemory()
  readonly #loop: Loop
  readonly #files = new OpenFiles({ maxFiles: OPEN_FILES_MAX })
  readonly #devices = new Map<DeviceName, Device>()
  readonly #views = new Map<string, OpenView>()
  readonly #streams = new Map<number, Iterator<unknown> | AsyncIterator<unknown>>()
  readonly #writers = new Map<number, { view: string; file: FileWriter }>()
  #nextStream = 1

  private constructor(
    { storeDir, syncLogBytes = SYNC_LOG_BYTES, idleLatencyRequest }: SessionOptions,
    store: StoreReader,
    { log, heir }: SessionDependencies,
  ) {
    this.#storeDir = storeDir
    this.#syncLogBytes = syncLogBytes
    this.#store = store
    this.#log = log
    this.#heir = heir
    this.#loop = createLoop({
      idleLatency: idleLatency(idleLatencyRequest),
      ...(heir === undefined ? {} : { descriptors: heir.custody }),
    })
  }

  static async open(options: SessionOptions, dependencies: SessionDependencies): Promise<Session> {
    return new Session(options, await StoreReader.open({ dir: options.storeDir }), dependencies)
  }

  /** Rejects with an `Errno` or what went wrong. */
  async answer(call: Call): Promise<unknown> {
    switch (call.op) {
      case 'open':
        return this.#open(call)
      case 'mount':
        return this.#view(call.view).mount(await this.#device(call.device), call.target, call.unprivileged)
      case 'takeOver':
        return this.#view(call.view).takeOver(await this.#device('kernel'), call.target, call.handover)
      case 'unmount':
        return this.#view(call.view).unmount()
      case 'sync':
        return this.#view(call.view).sync()
      case 'close':
        return this.#close(call.view)
      case 'setRules':
        return this.#view(call.view).setRules(compilePolicy(call.rules))
      case 'setOwner':
        return this.#view(call.view).setOwner(call.owner)
      case 'setQuota':
        return this.#view(call.view).setQuota(call.quota)
      case 'setBandwidth':
        return this.#view(call.view).setBandwidth(call.bandwidth)
      case 'usage':
        return this.#view(call.view).usage()
      case 'changeCount':
        return this.#view(call.view).overlay.delta.changes
      case 'stat':
        return (await this.#accessAt(call)).stat(call.path)
      case 'mkdir':
        return this.#announced(call.view, this.#access(call).mkdir(call.path, call.mode))
      case 'remove':
        return this.#announced(call.view, this.#access(call).remove(call.path, call.recursive))
      case 'rename':
        return this.#announced(call.view, this.#access(call).rename(call.from, call.to))
      case 'write':
        return this.#keep(this.#writers, {
          view: call.view,
          file: (await this.#accessAt(call)).write(call.path, call.options),
        })
      case 'feed':
        return this.#writer(call.stream).feed(asBuffer(call.data))
      case 'finish':
        if (call.data !== undefined) this.#writer(call.stream).feed(asBuffer(call.data))
        return this.#finish(call.stream)
      case 'abandon':
        return this.#take(this.#writers, call.stream)?.file.abandon()
      case 'list':
        await this.#view(call.view).caughtUp()
        return this.#stream(this.#access(call).list(call.path, call.recursive))
      case 'read':
        return this.#stream((await this.#accessAt(call)).read(call.path, call.offset, call.length))
      case 'changes':
        await this.#view(call.view).caughtUp()
        return this.#stream(inChunks(changesOf(this.#view(call.view).overlay)))
      case 'cut':
        await this.#view(call.view).caughtUp()
        return this.#stream(cutParts(this.#view(call.view).overlay))
      case 'revert':
        return this.#stream(this.#view(call.view).revert(call.options))
      case 'trail':
        return this.#stream(inChunks([...this.#view(call.view).trail()]))
      case 'watch':
        return this.#keep(this.#streams, this.#view(call.view).watch(call.as, call))
      case 'export':
        await this.#view(call.view).caughtUp()
        return this.#stream(exportTar(this.#view(call.view), call.content, call.as))
      case 'pull':
        return this.#pull(call.stream)
      case 'drop':
        return this.#take(this.#streams, call.stream)?.return?.()
      case 'ping':
        return undefined
      case 'stop':
        return this.#stop()
    }
  }

  async #open(call: Call & { op: 'open' }): Promise<void> {
    if (this.#views.has(call.view)) throw EBUSY
    const view = await OpenView.open(
      {
        name: call.view,
        base: call.base,
        deltaDir: call.deltaDir,
        policy: compilePolicy(call.rules),
        owner: call.owner,
        quota: call.quota,
        bandwidth: call.bandwidth ?? {},
        statfs: () => diskOf(this.#storeDir),
        left: call.left,
        syncLogBytes: this.#syncLogBytes,
      },
      { store: this.#store, files: this.#files, log: this.#log, estates: this.#estatesOf(call.view) },
    )
    this.#views.set(call.view, view)
  }

  #estatesOf(view: string) {
    const heir = this.#heir
    if (heir === undefined) return undefined
    const of = (part: keyof ViewRemains) => heir.estate(view, part)
    return { journal: of('journal'), held: of('held'), request: of('request'), journalMemory: this.#journalMemory }
  }

  async #close(name: string): Promise<void> {
    const view = this.#view(name)
    this.#views.delete(name)
    await view[Symbol.asyncDispose]()
  }

  async #stop(): Promise<void> {
    const closed = await Promise.allSettled([...this.#views.keys()].map((name) => this.#close(name)))
    this.#files[Symbol.dispose]()
    await this.#store[Symbol.asyncDispose]()
    for (const each of closed) if (each.status === 'rejected') throw each.reason
  }

  async #device(name: DeviceName): Promise<Device> {
    let device = this.#devices.get(name)
    if (device === undefined) {
      device = await this.#makeDevice(name)
      this.#devices.set(name, device)
    }
    return device
  }

  async #makeDevice(name: DeviceName): Promise<Device> {
    if (name === 'kernel') return kernelDevice(this.#loop, this.#log, this.#heir?.custody)
    if (name === 'stream') return streamDevice(this.#log)
    const { fuseNativeDevice } = await import('../device/fuse-native/device.ts')
    return fuseNativeDevice(this.#log)
  }

  #view(name: string): OpenView {
    const view = this.#views.get(name)
    if (view === undefined) throw ENOENT
    return view
  }

  #access({ view, as }: { view: string; as: Principal }): HostAccess {
    return this.#view(view).access(as)
  }

  #accessAt({ view, as, path }: { view: string; as: Principal; path: string }): Promise<HostAccess> {
    return this.#view(view).accessAt(as, path)
  }

  #writer(stream: number): FileWriter {
    const writer = this.#writers.get(stream)
    if (writer === undefined) throw ENOENT
    return writer.file
  }

  async #finish(stream: number): Promise<unknown> {
    const file = this.#writer(stream)
    const info = await file.finish()
    const { view } = this.#take(this.#writers, stream)!
    return this.#announced(view, info)
  }

  /** A change from outside is answered when it outlives the thread, and the sandbox sees it too. */
  async #announced<T>(view: string, value: T): Promise<T> {
    this.#view(view).save()
    await this.#view(view).announced()
    return value
  }

  #stream(items: Iterator<unknown> | AsyncIterator<unknown>): Promise<Pulled> {
    return this.#pull(this.#keep(this.#streams, items))
  }

  async #pull(stream: number): Promise<Pulled> {
    const items = this.#streams.get(stream)
    if (items === undefined) throw ENOENT
    try {
      const { value, done } = await items.next()
      if (done) this.#streams.delete(stream)
      return { stream, item: value, done: done === true }
    } catch (error) {
      this.#streams.delete(stream)
      throw error
    }
  }

  #keep<T>(where: Map<number, T>, what: T): number {
    const id = this.#nextStream++
    where.set(id, what)
    return id
  }

  #take<T>(from: Map<number, T>, id: number): T | undefined {
    const what = from.get(id)
    from.delete(id)
    return what
  }
}

function* inChunks<T>(items: T[]): Generator<T[]> {
  for (let at = 0; at < items.length; at += CHUNK_ITEMS) yield items.slice(at, at + CHUNK_ITEMS)
}

function asBuffer(data: Uint8Array): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}

function diskOf(dir: string): Statfs {
  const { bsize, blocks, bavail, files, ffree } = statfsSync(dir)
  return { blockSize: bsize, blocks, blocksFree: bavail, files, filesFree: ffree, nameMax: 255 }
}
