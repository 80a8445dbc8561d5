import { BackingFiles } from '../delta/backing-files.ts'
import { Contents } from '../delta/contents.ts'
import { Delta } from '../delta/delta.ts'
import { DeltaError } from '../delta/delta-error.ts'
import { DISK_RESERVE_BYTES, FLUSH_AFTER_MS, FLUSH_AT_RECORDS, SETTLE_AFTER_MS } from '../delta/limits.ts'
import { makeDirectory } from '../delta/make-directory.ts'
import type { OpenFiles } from '../delta/open-files.ts'
import { Room } from '../delta/room.ts'
import type { Quota } from '../delta/usage.ts'
import type { Device, Mounted } from '../device/device.ts'
import type { Policy } from '../policy/policy.ts'
import { VIEW } from '../policy/rule.ts'
import { EBUSY, EIO } from '../protocol/errno.ts'
import type { ByteString, Statfs } from '../protocol/filesystem.ts'
import type { Log } from '../protocol/log.ts'
import type { Hash } from '../store/objects.ts'
import type { StoreReader } from '../store/reader.ts'
import { AccessTrail } from './access-trail.ts'
import { Base } from './base.ts'
import { BaseObjects } from './base-objects.ts'
import { disguise } from './disguise.ts'
import { EventLog } from './event-log.ts'
import { HostAccess } from './host-access.ts'
import { KernelCache } from './kernel-cache.ts'
import type { Principal } from './node-info.ts'
import { Overlay } from './overlay.ts'
import { PathMemory } from './path-memory.ts'
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
  readonly statfs: () => Statfs
  /** Default true. False leaves the trail and the events empty: to measure what they cost. */
  readonly observed?: boolean
}

export interface OpenViewDependencies {
  readonly store: StoreReader
  readonly files: OpenFiles
  readonly log: Log
}

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
  readonly #events: EventLog
  readonly #trail: AccessTrail
  #saved = 0
  #saving: Promise<void> = Promise.resolve()
  #owner: { readonly uid: number; readonly gid: number }
  readonly #log: Log
  #mounted: Mounted | null = null
  #kernel: KernelCache | null = null

  private constructor(options: OpenViewOptions, overlay: Overlay, log: Log) {
    this.#log = log
    this.#options = options
    this.#owner = options.owner
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

  static async open(options: OpenViewOptions, { store, files, log }: OpenViewDependencies): Promise<OpenView> {
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
    }).catch((error: unknown) => {
      if (!(error instanceof DeltaError)) throw error
      log('error', 'the changes of a sandbox cannot be opened', { view: options.name, reason: error.message })
      throw EIO
    })
    delta.usage.quota = options.quota
    const backing = new BackingFiles({ dir: options.deltaDir }, { files })
    const contents = new Contents(delta, { store: objects, files, backing, room })
    contents.recover()
    return new OpenView(options, new Overlay(base, delta, contents), log)
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

  /** Resolves when the view has all that programs inside wrote before the call. */
  async caughtUp(): Promise<void> {
    await this.#kernel?.fetchAll()
  }

  /** `unprivileged`: nobody there may pass over permission bits. */
  async mount(device: Device, target: string, unprivileged: boolean): Promise<void> {
    if (this.#mounted !== null) throw EBUSY
    // Opens are not asked for: handles carry no state, modes show what the level allows, and each read and write is
    // checked. A warm open costs 5.6 µs so, against 20 to 38 with a question (native 4).
    // The kernel may gather writes: small ones cost a tenth so. Not under a quota of bytes, whose edge a program
    // would only meet when it closes the file, or never; nor for a caller whom no mode holds, who would see what it
    // wrote to a file that it may not change (ADR 11).
    const writeback = unprivileged && this.overlay.delta.usage.quota.bytes === undefined
    const told = disguise(this.#inside, toldNumbers(this.overlay.base.hash))
    this.#mounted = await device.mount(told, target, {
      name: this.#options.name,
      owner: this.#owner,
      opens: 'none',
      writeback,
    })
    this.#inside.gathersWrites = writeback
    this.#inside.keepsAttributes = device.capabilities.notices
    this.#kernel = new KernelCache(this.#inside, device.capabilities.onHost ? target : null, this.#log)
    for (const view of Object.values(this.#views)) view.notifyThrough(this.#inside)
    this.overlay.nodes.onCrowded = (oldest) => this.#inside.notifier?.prune(oldest)
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

  usage(): { bytes: number; inodes: number } {
    const { bytes, inodes } = this.overlay.delta.usage
    return { bytes, inodes }
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
