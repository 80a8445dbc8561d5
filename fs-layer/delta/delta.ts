import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import { inFiles, operationsFor } from './batch.ts'
import { Changes } from './changes.ts'
import { openingFault } from './delta-error.ts'
import type { DeltaOptions } from './delta-options.ts'
import { DeltaDirectory } from './directory.ts'
import type { Inherited } from './estate.ts'
import { FlushTimers } from './flush-timers.ts'
import { IndexFiles } from './index-files.ts'
import type { Inode } from './inode.ts'
import { type Journal, readJournal } from './journal.ts'
import { BATCH_BYTES } from './limits.ts'
import { loadRecords } from './load-records.ts'
import { type Index, openIndex } from './open-index.ts'
import { contentKey, type Dentry, encodeMeta, FORMAT_VERSION, META_KEY, type Meta } from './record.ts'
import { readMeta, recoverIndex } from './recover-index.ts'
import { nextNodeOf, replay } from './replay.ts'
import { SyncLog } from './sync-log.ts'
import { Unsaved } from './unsaved.ts'
import { Usage } from './usage.ts'
import { writeBatch } from './write-batch.ts'
import { WriteState } from './write-state.ts'

/**
 * One sandbox's changes. The index (inodes and dentries) is in memory while open, so that every call of the
 * filesystem is answered at once; LevelDB is its durable form. Changes gather and go out as one atomic batch,
 * in order, so that what is on disk is always a state that the view once had.
 *
 * Invariant: a node with a dentry here, or whose attributes differ from the base, is in `inodes`.
 */
export class Delta implements AsyncDisposable {
  readonly #options: DeltaOptions
  readonly inodes = new Map<NodeId, Inode>()
  readonly directories = new Map<NodeId, DeltaDirectory>()
  readonly usage = new Usage()
  #nextNode: NodeId
  /** Made when there is something to write: most sandboxes begin, and many end, without a change. */
  #index: Promise<Index> | null = null
  #opened: Index | null = null

  /** Since the last batch. */
  #changed = new Changes()
  readonly #journal: Journal | undefined
  /** Changed since the journal's last entry. */
  readonly #unsaved: Unsaved | undefined
  /** It has moved on since the last batch. */
  #nextNodeDirty = false
  /** Of the last change that an inherited journal tells of. */
  inheritedReply: Buffer | null = null
  /** Something was written without a sync since the last one. */
  #unsynced = false
  readonly #files: IndexFiles
  readonly #log: SyncLog
  /** The last batch, and the last one that is durable. */
  #batch = 0
  #synced = 0
  /** The last batch that was there when it was opened. */
  #loaded = 0
  readonly #state = new WriteState()
  readonly #timers: FlushTimers
  #running: Promise<void> = Promise.resolve()
  #queued: Promise<void> | null = null
  #syncWanted = false
  #afterDurable: (() => void)[] = []
  /** Called with what a batch wrote: small contents may leave memory from then on. */
  onFlushed: (contents: ReadonlySet<NodeId>) => void = () => undefined
  /** Called with small contents that are durable, and not in a batch yet. */
  onLogged: (contents: ReadonlySet<NodeId>) => void = () => undefined
  /** What has to be on the disk before the index may say so of these nodes; null for nothing. */
  beforeBatch: (nodes: ReadonlySet<NodeId>) => Promise<unknown> | null = () => null

  private constructor(options: DeltaOptions) {
    this.#options = options
    this.#files = new IndexFiles(options.dir)
    this.#log = new SyncLog(options)
    this.#timers = new FlushTimers(options, (durable) => this.#flushInBackground(durable))
    this.#nextNode = options.baseInodes + 1
    this.#journal = options.journal
    this.#unsaved = options.journal && new Unsaved(options.journal)
  }

  /** @throws {DeltaError}; ENOSPC, EROFS */
  static async open(options: DeltaOptions): Promise<Delta> {
    const delta = new Delta(options)
    const hasIndex = () => existsSync(join(options.dir, 'index'))
    if (options.inherited === undefined && !hasIndex()) return delta
    try {
      if (hasIndex()) await delta.#recover()
      if (options.inherited !== undefined) await delta.#inherit(options.inherited)
      if (hasIndex()) await delta.#load()
    } catch (error) {
      await delta.#opened?.close()
      throw openingFault(error, options.dir)
    }
    return delta
  }

  get dir(): string {
    return this.#options.dir
  }

  /** Goes up with every change: who has seen all up to one number need not look again while it stays. */
  get changes(): number {
    return this.#timers.changes
  }

  /** Before any change: throws where none can be written to the disk, and has it tried again. */
  needWritable(): void {
    if (this.#state.refusal === null) return
    this.#timers.changed()
    throw this.#state.refusal
  }

  allocate(): NodeId {
    if (this.#unsaved !== undefined) {
      this.#unsaved.numberGiven()
      this.#nextNodeDirty = true
      this.#timers.changed()
    }
    return this.#nextNode++
  }

  inodeChanged(inode: Inode): void {
    this.#inodeDirty(inode.node)
    this.#timers.changed()
  }

  /** For a small file's contents in memory; `inodeChanged` is the caller's to call too. */
  contentChanged(inode: Inode): void {
    this.#contentDirty(inode.node)
    this.#timers.changed()
  }

  add(inode: Inode): void {
    inode.inDelta = true
    this.inodes.set(inode.node, inode)
    this.inodeChanged(inode)
  }

  drop(inode: Inode): void {
    this.inodes.delete(inode.node)
    this.#inodeDirty(inode.node)
    this.#contentDirty(inode.node)
    this.#timers.changed()
  }

  dentry(parent: NodeId, name: ByteString): Dentry | undefined {
    return this.directories.get(parent)?.get(name)
  }

  /** `node` 0 is a whiteout. */
  setDentry(parent: NodeId, name: ByteString, node: NodeId, shadows: readonly NodeId[]): void {
    let directory = this.directories.get(parent)
    if (directory === undefined) {
      directory = new DeltaDirectory()
      this.directories.set(parent, directory)
    }
    directory.set(name, node, shadows)
    this.#dentryChanged(parent, name)
  }

  deleteDentry(parent: NodeId, name: ByteString): void {
    const directory = this.directories.get(parent)
    if (directory === undefined || !directory.delete(name)) return
    if (directory.size === 0) this.directories.delete(parent)
    this.#dentryChanged(parent, name)
  }

  /** Everything said of the names in a directory that is gone. */
  deleteDirectory(node: NodeId): void {
    const directory = this.directories.get(node)
    if (directory === undefined) return
    this.directories.delete(node)
    for (const dentry of directory.all()) this.#dentryChanged(node, dentry.name)
  }

  /** The contents of a small file that have left memory. */
  readContent(node: NodeId): Buffer | undefined {
    return this.#opened?.getSync(contentKey(node))
  }

  /** Runs it when the changes made so far are durable. */
  afterDurable(run: () => void): void {
    this.#afterDurable.push(run)
    this.#timers.settle()
  }

  contentIsDirty(node: NodeId): boolean {
    return this.#changed.contents.has(node)
  }

  /**
   * Before anybody is told of the changes made so far: they outlive the thread from now on, together with the `reply`
   * that tells of them.
   */
  save(reply: Buffer | null): void {
    if (this.#unsaved?.save(this, this.#meta(), reply) && this.#journal?.isFull) this.#flushInBackground(false)
  }

  /** Resolves when every change made before the call is written, and with `durable` synced to the disk. */
  flush(durable: boolean): Promise<void> {
    return durable && this.#log.isReady ? this.#log.inTurn(() => this.#append()) : this.#batched(durable)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#log.lastTurn()
      await this.#batched(true)
      await this.#log.close()
      // So that what is lost before it is known to have been durable; where that fails, it is not.
      if (this.#batch > this.#loaded)
        await this.#opened?.put(META_KEY, encodeMeta(this.#meta(++this.#batch))).catch(this.#options.onFlushFailed)
    } finally {
      this.#timers[Symbol.dispose]()
      await this.#log.close()
      await this.#opened?.close()
    }
  }

  get #unsettled(): boolean {
    return this.#unsynced || this.#afterDurable.length > 0
  }

  get #dirty(): boolean {
    return this.#nextNodeDirty || this.#changed.count > 0
  }

  #meta(batch = this.#batch): Meta {
    const [{ base }, nextNode, synced, log] = [this.#options, this.#nextNode, this.#synced, this.#log.name]
    return { version: FORMAT_VERSION, base, nextNode, batch, synced, log }
  }

  #inodeDirty(node: NodeId): void {
    this.#changed.inode(node)
    this.#log.changes?.inode(node)
    this.#unsaved?.inode(node)
  }

  #contentDirty(node: NodeId): void {
    this.#changed.content(node)
    this.#log.changes?.content(node)
    this.#unsaved?.content(node)
  }

  #dentryChanged(parent: NodeId, name: ByteString): void {
    this.#changed.dentry(parent, name)
    this.#log.changes?.dentry(parent, name)
    this.#unsaved?.dentry(parent, name)
    this.#timers.changed()
  }

  /** The records stay dirty when it fails, so whoever must know hears of it at the next fsync. */
  #flushInBackground(durable: boolean): void {
    // Told to the log: see `flush`.
    this.flush(durable).catch(() => undefined)
  }

  /** By a batch to LevelDB. */
  #batched(durable: boolean): Promise<void> {
    if (!this.#dirty && !(durable && this.#unsettled)) return this.#running
    this.#syncWanted ||= durable
    this.#queued ??= this.#running
      // A failed batch was told to those who waited for it; its records are dirty again and go out now.
      .catch(() => undefined)
      .then(() => {
        this.#queued = null
        this.#running = this.#write().catch((error: unknown) => {
          this.#state.tellOnce(() => this.#options.onFlushFailed(error))
          throw error
        })
        return this.#running
      })
    return this.#queued
  }

  async #write(): Promise<void> {
    const durable = this.#syncWanted
    this.#syncWanted = false
    this.#log.forgetIfMany()
    this.#options.room.take(BATCH_BYTES)
    const index = await this.#writable()
    const unsafe = () => this.beforeBatch(this.#changed.inodes)
    for (let safe = unsafe(); safe !== null; safe = unsafe()) await safe
    // From here to the call of batch() nothing waits: the records are one moment's.
    this.save(null)
    const mark = this.#journal?.mark() ?? 0
    const changed = this.#changed
    if (!this.#dirty && !(durable && this.#unsettled)) return
    this.#nextNodeDirty = false
    this.#changed = new Changes()
    const after = durable ? this.#afterDurable.splice(0) : []
    this.#timers.taken()
    const number = ++this.#batch
    const batch = operationsFor(this, this.#meta(), changed)
    const found = inFiles(this, changed.inodes)
    this.#unsynced = true
    if (durable) this.#log.batchBegins()
    try {
      await writeBatch(index, batch, { sync: durable })
      if (durable) await this.#files.sync()
    } catch (error) {
      if (durable) this.#log.batchEnds(number, false)
      this.#afterDurable.unshift(...after)
      this.#nextNodeDirty = true
      this.#changed.addAll(changed)
      if (changed.dentries.size > 0) this.#timers.changed()
      throw this.#state.failed(error)
    }
    this.#state.succeeded()
    if (durable) {
      this.#unsynced = false
      this.#synced = number
      for (const inode of found) inode.foundInFile = true
      this.#log.batchEnds(number, true)
    }
    this.#journal?.release(mark)
    this.onFlushed(changed.contents)
    for (const run of after) run()
  }

  /** To the log. Where that is full, or fails, all goes to LevelDB, to be synced there. */
  async #append(): Promise<void> {
    const unsafe = () => this.beforeBatch(this.#log.changes?.inodes ?? new Set())
    for (let safe = unsafe(); safe !== null; safe = unsafe()) await safe
    // From here to the call of append() nothing waits: see `#write`.
    const changed = this.#log.changes
    if (!this.#log.isReady || changed === null) return this.#batched(true)
    const records = changed.count === 0 ? [] : operationsFor(this, this.#meta(this.#batch + 1), changed)
    const found = inFiles(this, changed.inodes)
    const after = this.#afterDurable.splice(0)
    if (records.length > 0 && !(await this.#log.append(this.#batch + 1, records, () => this.#batch++))) {
      this.#afterDurable.unshift(...after)
      return this.#batched(true)
    }
    for (const inode of found) inode.foundInFile = true
    this.onLogged(changed.contents)
    for (const run of after) run()
  }

  /**
   * After a failed batch LevelDB's log may end in a part of a record, and what it takes for written after that is
   * not found at the next recovery. A recovery now, when there is room, begins a new log.
   */
  async #startNewLog(): Promise<void> {
    const broken = this.#opened
    this.#opened = null
    this.#index = null
    await broken?.close()
    await this.#open()
    this.#state.torn = false
  }

  async #writable(): Promise<Index> {
    try {
      if (this.#state.torn) await this.#startNewLog()
      return this.#opened ?? (await this.#open())
    } catch (error) {
      this.#index = null
      throw this.#state.failed(error)
    }
  }

  #open(): Promise<Index> {
    this.#index ??= this.#openIndex()
    return this.#index
  }

  async #openIndex(): Promise<Index> {
    const { index, cut } = await openIndex(this.#options.dir)
    this.#opened = index
    if (cut !== null) this.#options.onCutOff(cut)
    return index
  }

  /** The index is as the last sync left it, or newer. */
  async #recover(): Promise<void> {
    const { index, cut } = await openIndex(this.#options.dir)
    this.#opened = index
    this.#index = Promise.resolve(index)
    await recoverIndex(index, cut, this.#options)
  }

  /** The index is as the thread that died had it in memory. */
  async #inherit(inherited: Inherited): Promise<void> {
    const { operations, reply } = readJournal(inherited)
    this.inheritedReply = reply
    this.#nextNode = Math.max(this.#nextNode, nextNodeOf(operations))
    if (operations.length === 0) return
    const index = await this.#checked()
    await replay(operations, this.#meta(++this.#batch), { dir: this.#options.dir, index })
    await this.#files.sync()
  }

  async #load(): Promise<void> {
    const index = await this.#checked()
    await loadRecords(index, this, this.#options)
    for (const inode of this.inodes.values()) if (!this.usage.loaded(inode)) this.drop(inode)
  }

  /** With what is read before all else taken from it. */
  async #checked(): Promise<Index> {
    const index = await this.#open()
    const meta = readMeta(index, this.#options)
    this.#nextNode = Math.max(this.#nextNode, meta?.nextNode ?? 0)
    // What is there now is on the disk before anything is added to it: see `#openIndex`.
    if (meta !== undefined) this.#batch = this.#synced = this.#loaded = meta.batch
    return index
  }
}
