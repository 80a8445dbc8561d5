import type { Handover } from '../device/device.ts'
import { EBUSY, ENOENT } from '../protocol/errno.ts'
import type { FsLayerOptions } from './api.ts'
import { Custodian } from './custodian.ts'
import { FsLayerError } from './fs-layer-error.ts'
import { KeptView } from './kept-view.ts'
import { DEATHS_MAX, DEATHS_WINDOW_MS, REPEATS_MAX, SILENCE_MAX_MS } from './limits.ts'
import type { Call, Errand } from './messages.ts'
import { plainFields } from './plain-fields.ts'
import { Thread } from './thread.ts'

/**
 * The filesystem thread, and the one that takes its place when it dies: that opens every view as it was, from the disk
 * and from the memory that outlives a thread, and goes on with every mount on its open descriptor (ADR 18).
 *
 * A call that may be made twice is made again of the successor; any other fails with `thread-died`. Calls that come
 * meanwhile wait.
 */
export class Supervisor {
  readonly #options: FsLayerOptions
  readonly #custodian = new Custodian()
  readonly #views = new Map<string, KeptView>()
  #thread: Promise<Thread>
  #deathsMs: number[] = []
  /** The first thread has started. */
  #isUp = false
  #stopped: Promise<void> | undefined
  #settleDied: (reason: Error) => void = () => undefined
  /** Resolves when the thread has died too often. */
  readonly died: Promise<Error>

  private constructor(options: FsLayerOptions) {
    this.#options = options
    this.died = new Promise((resolve) => {
      this.#settleDied = resolve
    })
    this.#thread = this.#start()
  }

  static async open(options: FsLayerOptions): Promise<Supervisor> {
    const supervisor = new Supervisor(options)
    await supervisor.#thread
    supervisor.#isUp = true
    return supervisor
  }

  async call<T = void>(call: Call): Promise<T> {
    const view = this.#viewOf(call)
    for (let repeats = 0; ; ) {
      if (view.lost !== null) return this.#ofLost(call, view.lost) as T
      const thread = await this.#serving()
      if (view.lost !== null) continue
      try {
        if (call.op === 'mount') view.mounting = call.target
        const value = await thread.call<T>(call)
        this.#note(view, call, value)
        return value
      } catch (error) {
        if (thread.hasEnded && REPEATABLE.has(call.op) && repeats++ < REPEATS_MAX) continue
        if (call.op === 'open') this.#views.delete(call.view)
        if (call.op === 'mount') view.mounting = null
        throw error
      }
    }
  }

  /** For all calls of one stream. */
  async thread(view: string): Promise<Thread> {
    const thread = await this.#serving()
    const lost = this.#views.get(view)?.lost
    if (lost) throw lost
    return thread
  }

  async #serving(): Promise<Thread> {
    for (;;) {
      const current = this.#thread
      try {
        return await current
      } catch (error) {
        // Another one has died meanwhile.
        if (this.#thread === current) throw error
      }
    }
  }

  /** Resolves if the view does not come back. */
  whenLost(view: string): Promise<Error> {
    return this.#views.get(view)?.whenLost ?? new Promise(() => undefined)
  }

  /** Flushes and closes everything; if the thread dies over it, its successor does. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    // None serves where they have been given up.
    for (let thread = await this.#current(); thread !== null; thread = await this.#current()) {
      try {
        await thread.stop()
        break
      } catch (error) {
        if (!thread.hasEnded || (error instanceof FsLayerError && error.code === 'thread-stuck')) throw error
      }
    }
    this.#custodian.closeAllBut(new Set())
  }

  #current(): Promise<Thread | null> {
    return this.#serving().catch(() => null)
  }

  async #start(): Promise<Thread> {
    const { storeDir, heapMaxMiB, syncLogBytes, silenceMaxMs = SILENCE_MAX_MS } = this.#options
    const thread = new Thread(
      { storeDir, heapMaxMiB, syncLogBytes, silenceMaxMs },
      {
        log: (level, message, fields) => this.#options.onLog?.(level, message, fields),
        errand: (from, errand) => this.#run(from, errand),
        keep: (kept) => this.#views.get(kept.view)?.keep(kept),
        died: (_, reason) => this.#replace(reason),
      },
    )
    await thread.ready
    return thread
  }

  #log(level: 'warn' | 'error', message: string, fields: Record<string, unknown>): void {
    this.#options.onLog?.(level, message, plainFields(fields))
  }

  #run(from: Thread, errand: Errand): void {
    this.#custodian.run(errand, (id, errno) => from.errandDone(id, errno))
    if (errand.do !== 'close') return
    for (const view of this.#views.values()) {
      if (view.handover?.fd !== errand.fd) continue
      view.handover = null
      view.target = null
    }
  }

  #viewOf(call: Call): KeptView {
    if (call.op === 'open') {
      if (this.#views.has(call.view)) throw EBUSY
      const view = new KeptView(call)
      this.#views.set(call.view, view)
      return view
    }
    const view = 'view' in call ? this.#views.get(call.view) : undefined
    if (view === undefined) throw ENOENT
    return view
  }

  /** There is nothing left to undo of a view that is lost. */
  #ofLost(call: Call, reason: FsLayerError): void {
    if (call.op === 'close') this.#views.delete(call.view)
    else if (call.op !== 'unmount') throw reason
  }

  #note(view: KeptView, call: Call, value: unknown): void {
    switch (call.op) {
      case 'open':
        view.isOpen = true
        return
      case 'mount':
        view.mounting = null
        view.target = call.target
        view.handover = this.#stillOpen(value as Handover | null)
        return
      case 'unmount':
        view.target = null
        view.handover = null
        return
      case 'close':
        this.#views.delete(call.view)
        return
      case 'setRules':
        view.open = { ...view.open, rules: call.rules }
        return
      case 'setOwner':
        view.open = { ...view.open, owner: call.owner }
        return
      case 'setQuota':
        view.open = { ...view.open, quota: call.quota }
        return
      case 'setBandwidth':
        view.open = { ...view.open, bandwidth: call.bandwidth }
        return
      default:
    }
  }

  /** A mount may have ended before the answer that tells of it. */
  #stillOpen(handover: Handover | null): Handover | null {
    return handover !== null && this.#custodian.has(handover.fd) ? handover : null
  }

  #replace(reason: Error): void {
    if (!this.#isUp) return
    const nowMs = performance.now()
    this.#deathsMs = [...this.#deathsMs.filter((deathMs) => nowMs - deathMs < DEATHS_WINDOW_MS), nowMs]
    const isTooOften = this.#deathsMs.length > (this.#options.deathsMax ?? DEATHS_MAX)
    const next = isTooOften ? this.#giveUp(reason) : this.#succeed(reason, nowMs)
    // Whoever calls is told.
    next.catch(() => undefined)
    this.#thread = next
  }

  async #succeed(reason: Error, diedAtMs: number): Promise<Thread> {
    await this.#clearAway()
    const thread = await this.#start()
    const views = [...this.#views.values()].filter((view) => view.isOpen && view.lost === null)
    await Promise.all(views.map((view) => this.#restore(thread, view)))
    this.#log('warn', 'the filesystem thread died and was replaced', {
      error: reason,
      views: views.filter(({ lost }) => lost === null).length,
      mounts: views.filter(({ target }) => target !== null).length,
      lost: views.filter(({ lost }) => lost !== null).map(({ open }) => open.view),
      tookMs: Math.round(performance.now() - diedAtMs),
    })
    return thread
  }

  /** What the dead thread has left half done. */
  async #clearAway(): Promise<void> {
    const kept = new Set<number>()
    for (const { mounting, handover } of this.#views.values()) {
      if (handover !== null) kept.add(handover.fd)
      if (mounting !== null) await this.#custodian.breakOff(mounting)
    }
    this.#custodian.closeAllBut(kept)
  }

  async #restore(thread: Thread, view: KeptView): Promise<void> {
    const { target, handover } = view
    try {
      await thread.call(view.reopen())
      if (target === null) return
      if (handover === null) throw new Error('this kernel cannot hand requests out again (Linux 6.9 can)')
      const next = await thread.call<Handover | null>({ op: 'takeOver', view: view.open.view, target, handover })
      view.handover = this.#stillOpen(next)
      // What the dead thread had to tell of its last changes: programs inside see what a call from outside sees.
      await this.#custodian.noticesSent(handover.fd)
    } catch (error) {
      if (thread.hasEnded) throw error
      await this.#lose(view, new FsLayerError('view-lost', `the view did not come back: ${messageOf(error)}`, error))
      await thread.call({ op: 'close', view: view.open.view }).catch((err: unknown) => {
        this.#log('error', 'cannot close a view that did not come back', { view: view.open.view, err })
      })
    }
  }

  async #lose(view: KeptView, reason: FsLayerError): Promise<void> {
    const { target, handover } = view
    if (target !== null) await this.#custodian.breakOff(target)
    if (handover !== null) this.#custodian.close(handover.fd)
    view.lose(reason)
  }

  async #giveUp(reason: Error): Promise<never> {
    const text = `the filesystem thread has died ${this.#deathsMs.length} times in ${DEATHS_WINDOW_MS / 1000} s`
    const error = new FsLayerError('given-up', `${text}, at last of: ${reason.message}`, reason)
    this.#log('error', 'the filesystem thread died again and is not replaced', { error })
    await this.#clearAway()
    for (const view of this.#views.values()) await this.#lose(view, error)
    this.#settleDied(error)
    throw error
  }
}

/** Whatever the dead thread has done of them, doing them again comes to the same. */
const REPEATABLE: ReadonlySet<Call['op']> = new Set([
  'open',
  'mount',
  'unmount',
  'close',
  'sync',
  'stat',
  'usage',
  'setRules',
  'setOwner',
  'setQuota',
  'setBandwidth',
])

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
