import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import type { Hash, TreeEntry } from '../store/objects.ts'
import { inFiles, operationsFor } from './batch.ts'
import { DeltaDirectory } from './directory.ts'
import type { Inherited } from './estate.ts'
import type { Inode } from './inode.ts'
import { type Journal, readJournal } from './journal.ts'
import { type Index, openIndex } from './open-index.ts'
import { contentKey, type Dentry, decodeDentry, decodeInode, decodeMeta, FORMAT_VERSION, parseKey } from './record.ts'
import { replay } from './replay.ts'
import type { Room } from './room.ts'
import { Unsaved } from './unsaved.ts'
import { Usage } from './usage.ts'

export interface DeltaOptions {
  readonly dir: string
  readonly base: Hash
  /** Nodes up to this number are the base's; the sandbox's own come after. */
  readonly baseInodes: number
  /** What the base has at a number, and in which directory. */
  readonly baseEntry: (node: NodeId) => { readonly entry: TreeEntry; readonly parent: NodeId }
  /** Gathered changes are written after this long. */
  readonly flushAfterMs: number
  /** … or when so many records are waiting. */
  readonly flushAtRecords: number
  /** Asked before each batch. */
  readonly room: Room
  /** A batch in the background failed; it is tried again with the next one. */
  readonly onFlushFailed: (error: unknown) => void
  /** Where changes are kept that are answered and not written yet; without one they are lost with the thread. */
  readonly journal?: Journal | undefined
  /** The journal of a thread that has died: its changes come first. */
  readonly inherited?: Inherited | undefined
}

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
  /** A batch has failed since the log was begun. */
  #torn = false
  #timer: NodeJS.Timeout | null = null
  #running: Promise<void> = Promise.resolve()
  #queued: Promise<void> | null = null
  #syncWanted = false
  #afterFlush: (() => void)[] = []
  /** Called with what a batch wrote: small contents may leave memory from then on. */
  onFlushed: (contents: ReadonlySet<NodeId>) => void = () => undefined
  /** What has to be on the disk before the index may say so of these nodes; null for nothing. */
  beforeBatch: (nodes: ReadonlySet<NodeId>) => Promise<unknown> | null = () => null

  private constructor(options: DeltaOptions) {
    this.#options = options
    this.#nextNode = options.baseInodes + 1
    this.#journal = options.journal
    this.#unsaved = options.journal && new Unsaved(options.journal)
  }

  static async open(options: DeltaOptions): Promise<Delta> {
    const delta = new Delta(options)
    if (options.inherited !== undefined) await delta.#inherit(options.inherited)
    if (existsSync(join(options.dir, 'index'))) await delta.#load()
    return delta
  }

  get dir(): string {
    return this.#options.dir
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

  /** Runs it when the changes made so far are written. */
  afterFlush(run: () => void): void {
    this.#afterFlush.push(run)
    this.#schedule()
  }

  contentIsDirty(node: NodeId): boolean {
    return this.#dirtyContents.has(node)
  }

  /**
   * Before anybody is told of the changes made so far: they outlive the thread from now on, together with the `reply`
   * that tells of them.
   */
  save(reply: Buffer | null): void {
    if (this.#journal === undefined || !this.#unsaved?.save(this, this.#meta, reply)) return
    if (this.#journal.isFull) this.#flushInBackground()
  }

  /** Resolves when every change made before the call is written, and with `durable` synced to the disk. */
  flush(durable: boolean): Promise<void> {
    if (!this.#dirty && !(durable && this.#unsynced)) return this.#running
    this.#syncWanted ||= durable
    this.#queued ??= this.#running
      // A failed batch was told to those who waited for it; its records are dirty again and go out now.
      .catch(() => undefined)
      .then(() => {
        this.#queued = null
        this.#running = this.#write()
        return this.#running
      })
    return this.#queued
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.flush(true)
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#opened?.close()
  }

  get #dirty(): boolean {
    return (
      this.#nextNodeDirty || this.#dirtyInodes.size > 0 || this.#dirtyDentries.size > 0 || this.#dirtyContents.size > 0
    )
  }

  get #meta() {
    return { version: FORMAT_VERSION, base: this.#options.base, nextNode: this.#nextNode }
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
    this.#waiting++
    if (this.#waiting >= this.#options.flushAtRecords) {
      this.#waiting = 0
      this.#flushInBackground()
      return
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      this.#flushInBackground()
    }, this.#options.flushAfterMs)
  }

  /** The records stay dirty when it fails, so whoever must know hears of it at the next fsync. */
  #flushInBackground(): void {
    this.flush(false).catch((error: unknown) => this.#options.onFlushFailed(error))
  }

  async #write(): Promise<void> {
    const durable = this.#syncWanted
    this.#syncWanted = false
    this.#options.room.take(BATCH_BYTES)
    if (this.#torn) await this.#startNewLog()
    const index = this.#opened ?? (await this.#open())
    for (let safe = this.beforeBatch(this.#dirtyInodes); safe !== null; safe = this.beforeBatch(this.#dirtyInodes)) {
      await safe
    }
    // From here to the call of batch() nothing waits: the records are one moment's.
    this.save(null)
    const mark = this.#journal?.mark() ?? 0
    const inodes = this.#dirtyInodes
    const dentries = this.#dirtyDentries
    const contents = this.#dirtyContents
    if (!this.#dirty && !(durable && this.#unsynced)) return
    this.#nextNodeDirty = false
    this.#dirtyInodes = new Set()
    this.#dirtyDentries = new Map()
    this.#dirtyContents = new Set()
    const after = this.#afterFlush
    this.#afterFlush = []
    this.#waiting = 0
    const batch = operationsFor(this, this.#meta, { inodes, dentries, contents })
    const found = inFiles(this, inodes)
    this.#unsynced = true
    try {
      await index.batch(batch, { sync: durable })
    } catch (error) {
      this.#torn = this.#nextNodeDirty = true
      this.#afterFlush = [...after, ...this.#afterFlush]
      for (const node of inodes) this.#dirtyInodes.add(node)
      for (const node of contents) this.#dirtyContents.add(node)
      for (const [parent, names] of dentries) for (const name of names) this.#dentryChanged(parent, name)
      throw error
    }
    if (durable) {
      this.#unsynced = false
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
    this.#torn = false
  }

  #open(): Promise<Index> {
    this.#index ??= openIndex(this.#options.dir).then((index) => {
      this.#opened = index
      return index
    })
    return this.#index
  }

  /** The index is as the thread that died had it in memory. */
  async #inherit(inherited: Inherited): Promise<void> {
    const { operations, reply } = readJournal(inherited)
    this.inheritedReply = reply
    for (const { key } of operations) {
      const parsed = parseKey(key)
      if (parsed.kind === 'inode') this.#nextNode = Math.max(this.#nextNode, parsed.node + 1)
    }
    if (operations.length > 0) await replay(operations, { dir: this.#options.dir, index: await this.#open() })
  }

  async #load(): Promise<void> {
    const index = await this.#open()
    for await (const [key, value] of index.iterator()) {
      const parsed = parseKey(key)
      if (parsed.kind === 'meta') this.#checkMeta(value)
      else if (parsed.kind === 'inode') this.#loadInode(parsed.node, value)
      else if (parsed.kind === 'dentry') this.#loadDentry(parsed.parent, decodeDentry(parsed.name, value))
    }
    for (const directory of this.directories.values()) directory.sort()
    this.#nameInodes()
  }

  #checkMeta(value: Buffer): void {
    const meta = decodeMeta(value)
    if (meta.base !== this.#options.base)
      throw new Error(`delta ${this.#options.dir}: made over base ${meta.base}, opened over ${this.#options.base}`)
    this.#nextNode = Math.max(this.#nextNode, meta.nextNode)
  }

  #loadInode(node: NodeId, value: Buffer): void {
    if (node > this.#options.baseInodes) {
      this.inodes.set(node, decodeInode(node, null, value))
      return
    }
    const { entry, parent } = this.#options.baseEntry(node)
    const inode = decodeInode(node, entry, value)
    inode.parent = parent
    inode.name = entry.name
    this.inodes.set(node, inode)
  }

  #loadDentry(parent: NodeId, dentry: Dentry): void {
    let directory = this.directories.get(parent)
    if (directory === undefined) {
      directory = new DeltaDirectory()
      this.directories.set(parent, directory)
    }
    directory.load(dentry)
  }

  /** Gives each node its names and link count, which only the dentries hold. */
  #nameInodes(): void {
    const named = new Set<NodeId>()
    for (const [parent, directory] of this.directories) {
      for (const { node, name, shadows } of directory.all()) {
        for (const shadow of shadows) this.#placeShadow(shadow, parent, name, named)
        if (node === 0) continue
        const inode = this.inodes.get(node)
        if (inode === undefined) throw new Error(`delta ${this.#options.dir}: dentry of a missing inode ${node}`)
        if (named.has(node) || (inode.entry !== null && !inode.leftBase)) {
          inode.otherNames ??= []
          inode.otherNames.push({ parent, name })
          inode.nlink++
        } else {
          inode.parent = parent
          inode.name = name
          inode.nlink = 1
        }
        named.add(node)
      }
    }
    for (const inode of this.inodes.values()) {
      // Unlinked but still open when the last server died; a base node without a dentry stands where it was.
      if (inode.entry === null && !named.has(inode.node)) this.drop(inode)
      else this.usage.inodes += (inode.entry === null ? 1 : 0) + Math.max(0, inode.nlink - 1)
    }
  }

  #placeShadow(node: NodeId, parent: NodeId, name: ByteString, named: Set<NodeId>): void {
    const inode = this.inodes.get(node)
    if (inode === undefined) return
    named.add(node)
    inode.parent = parent
    inode.name = name
    inode.nlink = 0
  }
}
