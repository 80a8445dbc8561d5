import { BackingFiles } from '../delta/backing-files.ts'
import { Contents } from '../delta/contents.ts'
import { Delta } from '../delta/delta.ts'
import { DeltaError } from '../delta/delta-error.ts'
import type { Estate, Inherited } from '../delta/estate.ts'
import { Journal } from '../delta/journal.ts'
import type { JournalMemory } from '../delta/journal-memory.ts'
import { DISK_RESERVE_BYTES, FLUSH_AFTER_MS, FLUSH_AT_RECORDS, SETTLE_AFTER_MS } from '../delta/limits.ts'
import { makeDirectory } from '../delta/make-directory.ts'
import type { OpenFiles } from '../delta/open-files.ts'
import { Room } from '../delta/room.ts'
import type { Quota } from '../delta/usage.ts'
import type { Device, Handover, Mounted } from '../device/device.ts'
import type { Bandwidth } from '../device/throttle.ts'
import type { Policy } from '../policy/policy.ts'
import { VIEW } from '../policy/rule.ts'
import { EBUSY, EIO } from '../protocol/errno.ts'
import type { ByteString, Statfs } from '../protocol/filesystem.ts'
import type { Log } from '../protocol/log.ts'
import { createUnderWay, UNDER_WAY_BYTES, type UnderWay } from '../protocol/under-way.ts'
import type { Hash } from '../store/objects.ts'
import type { StoreReader } from '../store/reader.ts'
import { AccessTrail } from './access-trail.ts'
import { Base } from './base.ts'
import { BaseObjects } from './base-objects.ts'
import { disguise } from './disguise.ts'
import { EventLog } from './event-log.ts'
import { HeldNodes } from './held-nodes.ts'
import { HostAccess } from './host-access.ts'
import { KernelCache } from './kernel-cache.ts'
import type { Principal } from './node-info.ts'
import { Overlay } from './overlay.ts'
import { PathMemory } from './path-memory.ts'
import { type Reverted, type RevertOptions, revert } from './revert.ts'
import { setRules } from './set-rules.ts'
import { toldNumbers } from './told-numbers.ts'
import type { TrailEntry } from './trail-entry.ts'
import { loadTrail, saveTrail } from './trail-file.ts'
import { View } from './view.ts'
import { FullVisibility, PolicyVisibility } from './visibility.ts'
import { Watcher, type WatchOptions } from './watcher.ts'
import { Witness } from './witness.ts'

export interface OpenViewOptions {
  /** In logs and in the mount table. */
  readonly name: string
  readonly base: Hash
  readonly deltaDir: string
  readonly policy: Policy
  readonly owner: { readonly uid: number; readonly gid: number }
  readonly quota: Quota
  /** Default: as fast as it goes. */
  readonly bandwidth?: Bandwidth
  readonly statfs: () => Statfs
  /** Default true. False leaves the trail and the events empty: to measure what they cost. */
  readonly observed?: boolean
  /** Of the delta's log of syncs. Default: none. */
  readonly syncLogBytes?: number
  /** Of the thread that had this view open and died. */
  readonly left?: ViewRemains | undefined
}

/** What is left of an open view when its thread dies, without what is on the disk. */
export interface ViewRemains {
  readonly journal: Inherited
  readonly held: Inherited
  readonly request: Inherited
}

export interface OpenViewDependencies {
  readonly store: StoreReader
  readonly files: OpenFiles
  readonly log: Log
  /** Where what must outlive the thread is kept; without them nothing does. */
  readonly estates?: Estates | undefined
}

export type Estates = { readonly [part in keyof ViewRemains]: Estate } & { readonly journalMemory: JournalMemory }

/**
 * A view with all it is made of, mounted or not: one overlay, seen by the sandbox through its policy and by the
 * owner whole.
 */
export class OpenView implements AsyncDisposable {
  readonly #options: OpenViewOptions
  readonly overlay: Overlay
  readonly #visibility: PolicyVisibility
  /** What is mounted. Calls from outside have views of their own: they are not on the trail. */
  readonly #inside: View
  readonly #views: Readonly<Record<Principal, View>>
  readonly #sources: { readonly store: StoreReader; readonly files: OpenFiles }
  readonly #events: EventLog
  readonly #trail: AccessTrail
  #saved = 0
  #saving: Promise<void> = Promise.resolve()
  #owner: { readonly uid: number; readonly gid: number }
  readonly #log: Log
  readonly #underWay: UnderWay | undefined
  #mounted: Mounted | null = null
  #bandwidth: Bandwidth
  #kernel: KernelCache | null = null

  private constructor(
    options: OpenViewOptions,
    overlay: Overlay,
    { log, store, files }: OpenViewDependencies,
    underWay: UnderWay | undefined,
  ) {
    this.#sources = { store, files }
    this.#underWay = underWay
    this.#log = log
    this.#options = options
    this.#owner = options.owner
    this.#bandwidth = options.bandwidth ?? {}
    this.overlay = overlay
    this.#visibility = new PolicyVisibility(overlay, options.policy)
    this.#inside = new View(options, overlay, this.#visibility)
    this.#views = {
      sandbox: new View(options, overlay, this.#visibility),
      owner: new View(options, overlay, new FullVisibility(overlay)),
    }
    const paths = new PathMemory(overlay)
    this.#events = new EventLog(paths)
    this.#trail = new AccessTrail(overlay, paths, loadTrail(options.deltaDir, log))
    if (options.observed === false) return
    this.#inside.observer = new Witness(paths, this.#events, this.#trail)
    const outside = new Witness(paths, this.#events, null)
    for (const view of Object.values(this.#views)) view.observer = outside
  }

  static async open(options: OpenViewOptions, dependencies: OpenViewDependencies): Promise<OpenView> {
    const { store, files, log, estates } = dependencies
    const { left } = options
    const objects = new BaseObjects({ view: options.name }, { store, log })
    const base = new Base(objects, options.base)
    makeDirectory(options.deltaDir)
    const room = new Room({ dir: options.deltaDir, reserveBytes: DISK_RESERVE_BYTES })
    const failed = (error: unknown) =>
      log('error', 'changes could not be written to disk', { view: options.name, error })
    const delta = await Delta.open({
      room,
      dir: options.deltaDir,
      base: options.base,
      baseInodes: base.inodes,
      baseEntry: (node) => base.find(node),
      flushAfterMs: FLUSH_AFTER_MS,
      flushAtRecords: FLUSH_AT_RECORDS,
      settleAfterMs: SETTLE_AFTER_MS,
      onCutOff: (cut) =>
        log('warn', 'changes that were not durable are lost after a crash', { view: options.name, ...cut }),
      onFlushFailed: failed,
      syncLogBytes: options.syncLogBytes ?? 0,
      onSyncLogFailed: (error) =>
        log('warn', 'syncs of a sandbox are slower until it is started again', { view: options.name, error }),
      journal: estates && journalIn(estates, left?.journal ?? new Map()),
      inherited: left?.journal,
    }).catch((error: unknown) => {
      if (!(error instanceof DeltaError)) throw error
      log('error', 'the changes of a sandbox cannot be opened', { view: options.name, reason: error.message })
      throw EIO
    })
    for (const piece of left?.journal.keys() ?? []) estates?.journal.drop(piece)
    delta.usage.quota = options.quota
    const backing = new BackingFiles({ dir: options.deltaDir }, { files })
    const contents = new Contents(delta, { store: objects, files, backing, room })
    contents.recover(left !== undefined)
    const held = estates ? new HeldNodes(estates.held, left?.held ?? new Map()) : null
    const underWay = estates && underWayIn(estates.request, left?.request.get(0))
    return new OpenView(options, new Overlay(base, delta, contents, held), dependencies, underWay)
  }

  view(as: Principal): View {
    return this.#views[as]
  }

  access(as: Principal): HostAccess {
    return new HostAccess(this.#views[as], { ...this.#owner, pid: 0 })
  }

  /** The same, with what programs inside have written to the file at a path. */
  async accessAt(as: Principal, path: ByteString): Promise<HostAccess> {
    await this.#kernel?.fetchAt(path)
    return this.access(as)
  }

  /** Makes it what another version is, with what programs inside wrote before the call undone too. */
  async *revert(options: RevertOptions): AsyncGenerator<Reverted[]> {
    await this.caughtUp()
    this.overlay.delta.needWritable()
    const { observer, notifier } = this.#views.owner
    const parts = { overlay: this.overlay, visibility: this.#visibility, observer, notifier, ...this.#sources }
    for await (const done of revert(parts, options)) {
      this.save()
      yield done
    }
  }

  /** Resolves when the view has all that programs inside wrote before the call. */
  async caughtUp(): Promise<void> {
    await this.#kernel?.fetchAll()
  }

  /** `unprivileged`: nobody there may pass over permission bits. */
  async mount(device: Device, target: string, unprivileged: boolean): Promise<Handover | null> {
    if (this.#mounted !== null) throw EBUSY
    // Opens are not asked for: handles carry no state, modes show what the level allows, and each read and write is
    // checked. A warm open costs 5.6 µs so, against 20 to 38 with a question (native 4).
    // The kernel may gather writes: small ones cost a tenth so. Not under a quota of bytes, whose edge a program
    // would only meet when it closes the file, or never; nor for a caller whom no mode holds, who would see what it
    // wrote to a file that it may not change (ADR 11).
    const writeback = unprivileged && this.overlay.delta.usage.quota.bytes === undefined
    return this.#serve(device, target, writeback, null)
  }

  /** Goes on with a mount of the thread before, as the kernel and the programs inside left it. */
  async takeOver(device: Device, target: string, handover: Handover): Promise<Handover | null> {
    this.overlay.adopt()
    return this.#serve(device, target, handover.writeback, handover)
  }

  /** What a successor needs to take the mount over, where the device has it. */
  async #serve(
    device: Device,
    target: string,
    writeback: boolean,
    handover: Handover | null,
  ): Promise<Handover | null> {
    const { delta } = this.overlay
    const told = disguise(this.#inside, toldNumbers(this.overlay.base.hash))
    this.#mounted = await device.mount(told, target, {
      name: this.#options.name,
      owner: this.#owner,
      opens: 'none',
      writeback,
      underWay: this.#underWay,
      bandwidth: this.#bandwidth,
      beforeTelling: (reply) => delta.save(reply),
      ...(handover === null ? {} : { takeOver: { ...handover, unsentReply: delta.inheritedReply } }),
    })
    this.#inside.gathersWrites = writeback
    this.#inside.keepsAttributes = device.capabilities.notices
    this.#kernel = new KernelCache(this.#inside, device.capabilities.onHost ? target : null, this.#log)
    for (const view of Object.values(this.#views)) view.notifyThrough(this.#inside)
    this.overlay.nodes.onCrowded = (oldest) => this.#inside.notifier?.prune(oldest)
    return this.#mounted.handover ?? null
  }

  async unmount(): Promise<void> {
    const mounted = this.#mounted
    this.#mounted = null
    try {
      // Who still holds the mount is cut off after a while, and with it what the kernel has not sent yet.
      await this.caughtUp()
    } finally {
      this.#kernel = null
      await mounted?.unmount()
    }
    await this.sync()
  }

  async setRules(policy: Policy): Promise<void> {
    const { overlay } = this
    // What was written while it was allowed is not lost.
    await this.caughtUp()
    setRules(policy, { overlay, visibility: this.#visibility, notifier: this.#inside.notifier })
    this.#events.rulesChanged()
    await this.announced()
  }

  async setOwner(owner: { uid: number; gid: number }): Promise<void> {
    this.#owner = owner
    for (const view of [this.#inside, ...Object.values(this.#views)]) view.setOwner(owner)
    await this.announced()
  }

  setQuota(quota: Quota): void {
    this.overlay.delta.usage.quota = quota
  }

  setBandwidth(bandwidth: Bandwidth): void {
    this.#bandwidth = bandwidth
    this.#mounted?.setBandwidth?.(bandwidth)
  }

  usage(): { bytes: number; inodes: number } {
    const { bytes, inodes } = this.overlay.delta.usage
    return { bytes, inodes }
  }

  /** What was changed so far outlives the thread: before anybody is told of it. */
  save(): void {
    this.overlay.delta.save(null)
  }

  /** Resolves when the kernel knows of every change made from outside. */
  async announced(): Promise<void> {
    await this.#inside.notifier?.flush()
  }

  /** What happens from now on, or after the cursor. Ends when the view is closed. */
  watch(as: Principal, options: WatchOptions): Watcher {
    const isVisible = (path: ByteString) => this.#visibility.policy.levelOf(path) >= VIEW
    return new Watcher(options, this.#events, as === 'owner' ? null : isVisible)
  }

  /** What programs inside did, in this and in earlier runs. */
  trail(): Iterable<TrailEntry> {
    return this.#trail.entries()
  }

  async sync(): Promise<void> {
    await this.caughtUp()
    await this.overlay.contents.syncAll()
    await this.overlay.delta.flush(true)
    this.#saving = this.#saving.then(() => this.#saveTrail())
    await this.#saving
  }

  async #saveTrail(): Promise<void> {
    const { changes } = this.#trail
    if (changes === this.#saved) return
    try {
      await saveTrail(this.#options.deltaDir, this.#trail.entries())
      this.#saved = changes
    } catch (error) {
      this.#log('error', 'the access trail could not be written to disk', { view: this.#options.name, error })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // All is let go of, also where the disk takes no more; then it rejects.
    try {
      await this.unmount()
    } finally {
      // After the last events, and whatever became of them.
      this.#events.close()
      this.overlay.contents.close()
      await this.overlay.delta[Symbol.asyncDispose]()
    }
  }
}

function underWayIn(estate: Estate, inherited: SharedArrayBuffer | undefined): UnderWay {
  const memory = inherited ?? new SharedArrayBuffer(UNDER_WAY_BYTES)
  if (inherited === undefined) estate.keep(0, memory)
  return createUnderWay(memory)
}

function journalIn({ journal: estate, journalMemory: memory }: Estates, inherited: Inherited): Journal {
  return new Journal({ estate, memory }, inherited)
}
