import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import { inFiles, operationsFor } from './batch.ts'
import { DeltaError, openingFault } from './delta-error.ts'
import type { DeltaOptions } from './delta-options.ts'
import { DeltaDirectory } from './directory.ts'
import type { Inherited } from './estate.ts'
import { IndexFiles } from './index-files.ts'
import type { Inode } from './inode.ts'
import { type Journal, readJournal } from './journal.ts'
import { loadRecords } from './load-records.ts'
import { type Index, openIndex } from './open-index.ts'
import { contentKey, type Dentry, decodeMeta, encodeMeta, FORMAT_VERSION, META_KEY, type Meta } from './record.ts'
import { nextNodeOf, replay } from './replay.ts'
import { Unsaved } from './unsaved.ts'
import { Usage } from './usage.ts'
import { writeBatch } from './write-batch.ts'
import { WriteState } from './write-state.ts'

/** What a batch may take, with the tables that LevelDB may write because of it. */
const BATCH_BYTES = 8 << 20

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
  /** Goes up with every change: who has seen all up to one number need not look again while it stays. */
  changes = 0
  #nextNode: NodeId
  /** Made when there is something to write: most sandboxes begin, and many end, without a change. */
  #index: Promise<Index> | null = null
  #opened: Index | null = null

  #dirtyInodes = new Set<NodeId>()
  #dirtyDentries = new Map<NodeId, Set<ByteString>>()
  #dirtyContents = new Set<NodeId>()
  readonly #journal: Journal | undefined
  /** Changed since the journal's last entry. */
  readonly #unsaved: Unsaved | undefined
  /** It has moved on since the last batch. */
  #nextNodeDirty = false
  /** Of the last change that an inherited journal tells of. */
  inheritedReply: Buffer | null = null
  #waiting = 0
  /** Something was written without a sync since the last one. */
  #unsynced = false
  readonly #files: IndexFiles
  /** The last batch, and the last one that is durable. */
  #batch = 0
  #synced = 0
  /** The last batch that was there when it was opened. */
  #loaded = 0
  readonly #state = new WriteState()
  #timer: NodeJS.Timeout | null = null
  #running: Promise<void> = Promise.resolve()
  #queued: Promise<void> | null = null
  #syncWanted = false
  #afterDurable: (() => void)[] = []
  #settling: NodeJS.Timeout | null = null
  /** Called with what a batch wrote: small contents may leave memory from then on. */
  onFlushed: (contents: ReadonlySet<NodeId>) => void = () => undefined
  /** What has to be on the disk before the index may say so of these nodes; null for nothing. */
  beforeBatch: (nodes: ReadonlySet<NodeId>) => Promise<unknown> | null = () => null

  private constructor(options: DeltaOptions) {
    this.#options = options
    this.#files = new IndexFiles(options.dir)
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

  /** Before any change: throws where none can be written to the disk, and has it tried again. */
  needWritable(): void {
    if (this.#state.refusal === null) return
    this.#schedule()
    throw this.#state.refusal
  }

  allocate(): NodeId {
    if (this.#unsaved !== undefined) {
      this.#unsaved.numberGiven()
      this.#nextNodeDirty = true
      this.#schedule()
    }
    return this.#nextNode++
  }

  inodeChanged(inode: Inode): void {
    this.#inodeDirty(inode.node)
    this.#schedule()
  }

  /** For a small file's contents in memory; `inodeChanged` is the caller's to call too. */
  contentChanged(inode: Inode): void {
    this.#contentDirty(inode.node)
    this.#schedule()
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
    this.#schedule()
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
    this.#settling ??= setTimeout(() => {
      this.#settling = null
      this.#flushInBackground(true)
    }, this.#options.settleAfterMs)
  }

  contentIsDirty(node: NodeId): boolean {
    return this.#dirtyContents.has(node)
  }

  /**
   * Before anybody is told of the changes made so far: they outlive the thread from now on, together with the `reply`
   * that tells of them.
   */
  save(reply: Buffer | null): void {
    if (this.#journal === undefined || !this.#unsaved?.save(this, this.#meta(), reply)) return
    if (this.#journal.isFull) this.#flushInBackground(false)
  }

  /** Resolves when every change made before the call is written, and with `durable` synced to the disk. */
  flush(durable: boolean): Promise<void> {
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

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.flush(true)
      // So that what is lost before it is known to have been durable; where that fails, it is not.
      if (this.#batch > this.#loaded)
        await this.#opened?.put(META_KEY, encodeMeta(this.#meta(++this.#batch))).catch(this.#options.onFlushFailed)
    } finally {
      for (const timer of [this.#timer, this.#settling]) if (timer !== null) clearTimeout(timer)
      await this.#opened?.close()
    }
  }

  get #unsettled(): boolean {
    return this.#unsynced || this.#afterDurable.length > 0
  }

  get #dirty(): boolean {
    return this.#nextNodeDirty || this.#dirtyInodes.size + this.#dirtyDentries.size + this.#dirtyContents.size > 0
  }

  #meta(batch = this.#batch): Meta {
    const [{ base }, nextNode, synced] = [this.#options, this.#nextNode, this.#synced]
    return { version: FORMAT_VERSION, base, nextNode, batch, synced }
  }

  #inodeDirty(node: NodeId): void {
    this.#dirtyInodes.add(node)
    this.#unsaved?.inode(node)
  }

  #contentDirty(node: NodeId): void {
    this.#dirtyContents.add(node)
    this.#unsaved?.content(node)
  }

  #dentryChanged(parent: NodeId, name: ByteString): void {
    let names = this.#dirtyDentries.get(parent)
    if (names === undefined) {
      names = new Set()
      this.#dirtyDentries.set(parent, names)
    }
    names.add(name)
    this.#unsaved?.dentry(parent, name)
    this.#schedule()
  }

  #schedule(): void {
    this.changes++
    this.#waiting++
    if (this.#waiting >= this.#options.flushAtRecords) {
      this.#waiting = 0
      this.#flushInBackground(false)
      return
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      this.#flushInBackground(false)
    }, this.#options.flushAfterMs)
  }

  /** The records stay dirty when it fails, so whoever must know hears of it at the next fsync. */
  #flushInBackground(durable: boolean): void {
    // Told to the log: see `flush`.
    this.flush(durable).catch(() => undefined)
  }

  async #write(): Promise<void> {
    const durable = this.#syncWanted
    this.#syncWanted = false
    this.#options.room.take(BATCH_BYTES)
    const index = await this.#writable()
    for (let safe = this.beforeBatch(this.#dirtyInodes); safe !== null; safe = this.beforeBatch(this.#dirtyInodes)) {
      await safe
    }
    // From here to the call of batch() nothing waits: the records are one moment's.
    this.save(null)
    const mark = this.#journal?.mark() ?? 0
    const inodes = this.#dirtyInodes
    const dentries = this.#dirtyDentries
    const contents = this.#dirtyContents
    if (!this.#dirty && !(durable && this.#unsettled)) return
    this.#nextNodeDirty = false
    this.#dirtyInodes = new Set()
    this.#dirtyDentries = new Map()
    this.#dirtyContents = new Set()
    const after = durable ? this.#afterDurable.splice(0) : []
    this.#waiting = 0
    const batch = operationsFor(this, this.#meta(++this.#batch), { inodes, dentries, contents })
    const found = inFiles(this, inodes)
    this.#unsynced = true
    try {
      await writeBatch(index, batch, { sync: durable })
      if (durable) await this.#files.sync()
    } catch (error) {
      this.#afterDurable.unshift(...after)
      this.#nextNodeDirty = true
      for (const node of inodes) this.#dirtyInodes.add(node)
      for (const node of contents) this.#dirtyContents.add(node)
      for (const [parent, names] of dentries) for (const name of names) this.#dentryChanged(parent, name)
      throw this.#state.failed(error)
    }
    this.#state.succeeded()
    if (durable) {
      this.#unsynced = false
      this.#synced = this.#batch
      for (const inode of found) inode.foundInFile = true
    }
    this.#journal?.release(mark)
    this.onFlushed(contents)
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
    const { dir, onCutOff } = this.#options
    this.#opened = await openIndex(dir, onCutOff)
    return this.#opened
  }

  /** The index is as the thread that died had it in memory. */
  async #inherit(inherited: Inherited): Promise<void> {
    const { operations, reply } = readJournal(inherited)
    this.inheritedReply = reply
    this.#nextNode = Math.max(this.#nextNode, nextNodeOf(operations))
    if (operations.length === 0) return
    const index = await this.#open()
    const last = index.getSync(META_KEY)
    if (last !== undefined) this.#checkMeta(last)
    await replay(operations, this.#meta(++this.#batch), { dir: this.#options.dir, index })
    await this.#files.sync()
  }

  async #load(): Promise<void> {
    const index = await this.#open()
    // Before the others, which another version may have in another form.
    const meta = index.getSync(META_KEY)
    if (meta !== undefined) this.#checkMeta(meta)
    await loadRecords(index, this, this.#options)
    for (const inode of this.inodes.values()) {
      // It had lost its last name and was open when the last server died.
      if (inode.entry === null && inode.nlink === 0 && inode.parent === 0) this.drop(inode)
      else this.usage.inodes += (inode.entry === null ? 1 : 0) + Math.max(0, inode.nlink - 1)
    }
  }

  #checkMeta(value: Buffer): void {
    const meta = decodeMeta(value)
    if (meta.base !== this.#options.base) {
      const bases = `made over base ${meta.base}, opened over ${this.#options.base}`
      throw new DeltaError('base', `${this.#options.dir}: ${bases}`)
    }
    this.#nextNode = Math.max(this.#nextNode, meta.nextNode)
    // What is there now is on the disk before anything is added to it: see `#openIndex`.
    this.#batch = this.#synced = this.#loaded = meta.batch
  }
}
