import { Changes } from './changes.ts'
import type { DeltaOptions } from './delta-options.ts'
import { LOG_AFTER_SYNCS, LOG_CHANGES_MAX } from './limits.ts'
import { LogFile } from './log-file.ts'
import type { Operation } from './operations.ts'

type SyncLogOptions = Pick<DeltaOptions, 'dir' | 'room' | 'syncLogBytes' | 'onSyncLogFailed'>

/**
 * What a sync writes in place of a batch to LevelDB: the changes since the last sync, in one write to blocks that the
 * file has already (ADR 35). LevelDB gets all changes beside it, without a sync, and one with a sync where the log is
 * full; from then on the log is empty.
 *
 * Invariant: a record has every change since the durable state that it follows. So whatever of the batches between them
 * LevelDB has, with the record over it it is the state of the record.
 */
export class SyncLog {
  readonly #options: SyncLogOptions
  #file: LogFile | null = null
  #making: Promise<void> | null = null
  /** Failed; what it has is needed until a batch that does not name it is durable. */
  #broken: LogFile | null = null
  /** The same, where such a batch is on its way. */
  #replaced: LogFile | null = null
  /** Since the last durable state, or the one that is being made so; null where nobody kept count. */
  #changes: Changes | null = null
  #isReady = false
  #syncs = 0
  #hasFailed = false
  #running: Promise<void> = Promise.resolve()
  #queued: Promise<void> | null = null

  constructor(options: SyncLogOptions) {
    this.#options = options
  }

  /** What the index's meta names, so that none else is taken for it; '' where there is none. */
  get name(): string {
    return this.#file?.name ?? ''
  }

  /** The next sync may go here. */
  get isReady(): boolean {
    return this.#isReady && this.#changes !== null && this.#changes.count <= LOG_CHANGES_MAX
  }

  /** Where each change is to be noted too. */
  get changes(): Changes | null {
    return this.#changes
  }

  /** One after the other: who comes while one is under way goes with the next. */
  inTurn(append: () => Promise<void>): Promise<void> {
    this.#queued ??= this.#running.then(() => {
      this.#queued = null
      const appended = append()
      this.#running = appended.catch(() => undefined)
      return appended
    })
    return this.#queued
  }

  /** Resolves when all turns that were asked for are over, however they ended. */
  async lastTurn(): Promise<void> {
    await this.#queued?.catch(() => undefined)
    await this.#running
  }

  /** Of changes that nobody syncs there may be any number. */
  forgetIfMany(): void {
    if ((this.#changes?.count ?? 0) > LOG_CHANGES_MAX) this.#changes = null
  }

  /**
   * Writes `records`, which are those of `changes`; the next are of what changes from now on. True: they are durable. False:
   * they do not fit, or could not be written, and only a batch can make them so.
   */
  async append(batch: number, records: readonly Operation[], onTaken: () => void): Promise<boolean> {
    const file = this.#file
    const written = file?.append(batch, records) ?? null
    if (file === null || written === null) return false
    onTaken()
    this.#changes = new Changes()
    try {
      await written
      return true
    } catch (error) {
      this.#failed(file, error)
      return false
    }
  }

  /** A batch of all changes so far is on its way to LevelDB, to be synced there. */
  batchBegins(): void {
    this.#isReady = false
    this.#changes = this.#file === null ? null : new Changes()
    this.#replaced = this.#broken
  }

  batchEnds(batch: number, isDurable: boolean): void {
    if (!isDurable) {
      this.#changes = null
      return
    }
    this.#replaced?.remove()
    if (this.#broken === this.#replaced) this.#broken = null
    this.#file?.restart(batch)
    this.#isReady = this.#file !== null
    const isWanted = this.#options.syncLogBytes > 0 && this.#file === null && !this.#hasFailed
    if (isWanted && ++this.#syncs >= LOG_AFTER_SYNCS) this.#making ??= this.#make()
  }

  /** All that it has is durable elsewhere, or is to be found again when the delta is opened. */
  async close(): Promise<void> {
    await this.#making
    this.#isReady = false
    this.#changes = null
    this.#file?.close()
    this.#file = null
  }

  async #make(): Promise<void> {
    const { dir, syncLogBytes, room } = this.#options
    try {
      this.#file = await LogFile.make(dir, syncLogBytes, room)
    } catch (error) {
      this.#failed(null, error)
    }
  }

  /** What the disk has of it nobody knows: a later sync of the same file would say that all is well. */
  #failed(file: LogFile | null, error: unknown): void {
    this.#isReady = false
    this.#changes = null
    this.#file = null
    this.#broken = file
    this.#hasFailed = true
    file?.close()
    this.#options.onSyncLogFailed(error)
  }
}
