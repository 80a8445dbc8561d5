import type { ByteString } from '../protocol/filesystem.ts'
import { attributesFault, contentFault, entryLength, writeEntry } from './entry.ts'
import { EntryArena } from './entry-arena.ts'
import { hashBytes } from './hash.ts'
import { BATCH_BYTES, MAX_TARGET_BYTES, MAX_TREE_ENTRIES, MAX_VERSION_ENTRIES } from './limits.ts'
import type { DirectoryEntry, FileEntry, Hash, Root, SymlinkEntry } from './objects.ts'
import { joinPath, splitLast, splitPath } from './paths.ts'
import type { Store } from './store.ts'
import { StoreError } from './store-error.ts'
import { TREE_HEADER_BYTES, writeTreeHeader } from './tree.ts'

/** One entry of a version, by its path from the root. The empty path is the root directory itself. */
export type NewEntry = NewFile | NewDirectory | NewSymlink

interface NewEntryBase {
  readonly path: ByteString
  /** Permission bits (07777). */
  readonly mode: number
  /** Seconds since 1970. */
  readonly mtime: number
  readonly mtimeNsec: number
}

export interface NewFile extends NewEntryBase, Pick<FileEntry, 'kind' | 'size' | 'hash'> {}
export interface NewSymlink extends NewEntryBase, Pick<SymlinkEntry, 'kind' | 'target'> {}
export interface NewDirectory extends NewEntryBase {
  readonly kind: 'directory'
}

export interface TreeBuilderOptions {
  /** Entries in all, and in one directory. Default 4,000,000 and 1,000,000. */
  readonly maxEntries?: number
  readonly maxTreeEntries?: number
}

/**
 * Makes a version from its entries, in any order in which a directory comes before what is in it. Entries are
 * kept in their canonical bytes: about 150 bytes of memory for each.
 */
export class TreeBuilder {
  readonly #store: Store
  readonly #maxEntries: number
  readonly #maxTreeEntries: number
  readonly #arena = new EntryArena()
  readonly #root: Directory = { mode: 0o755, mtime: 0, mtimeNsec: 0, names: new Map() }
  #rootGiven = false
  #entries = 0
  #files = 0
  // Entries come mostly directory by directory.
  #lastParent: { path: ByteString; directory: Directory } = { path: '', directory: this.#root }

  constructor(options: TreeBuilderOptions, { store }: { store: Store }) {
    this.#store = store
    this.#maxEntries = options.maxEntries ?? MAX_VERSION_ENTRIES
    this.#maxTreeEntries = options.maxTreeEntries ?? MAX_TREE_ENTRIES
  }

  /**
   * @throws {StoreError} with the path: `invalid` (a name, target, mode, time, size or hash), `limit`,
   *   `duplicate`, `missing-parent`, `not-a-directory`
   */
  add(entry: NewEntry): void {
    if (entry.path === '') return this.#setRoot(entry)
    const { path, mode, mtime, mtimeNsec } = entry
    const { parent: parentPath, name } = splitLast(path)
    const made = entryOf(entry, name)
    const parent = this.#directoryAt(parentPath, path)
    if (parent.names.has(name)) throw new StoreError('duplicate', 'The path is there already', { path })
    this.#checkRoom(parent, path)
    this.#entries++
    if (made === null) {
      parent.names.set(ownCopy(name), { mode, mtime, mtimeNsec, names: new Map() })
      return
    }
    this.#files++
    parent.names.set(ownCopy(name), this.#arena.add(made))
  }

  /**
   * The blobs of the files added so far that the store lacks, each once, in lists of at most 16,384.
   */
  async *missingBlobs(): AsyncGenerator<Hash[]> {
    const told = new Set<Hash>()
    for (const files of this.#arena.files(ASK_BLOBS)) {
      const missing = (await this.#store.missingBlobs(files.map(({ hash }) => hash))).filter((hash) => !told.has(hash))
      for (const hash of missing) told.add(hash)
      if (missing.length > 0) yield missing
    }
  }

  /**
   * Writes the trees, children before parents, in synced batches, and the root with the last one; until then
   * nothing refers to them. The builder is empty afterwards.
   *
   * @throws {StoreError} `missing`: a file's blob is not in the store; `mismatch`: it has another size than
   *   the file was given; both with the path; and what writing throws
   */
  async finish(): Promise<{ hash: Hash; root: Root }> {
    await this.#checkBlobs()
    const batch: Batch = { trees: new Map(), bytes: 0 }
    const { hash: tree, inodes, bytes } = await this.#writeDirectory(this.#root, batch)
    const { mode, mtime, mtimeNsec } = this.#root
    const root: Root = { mode, mtime, mtimeNsec, tree, inodes, bytes, files: this.#files }
    const hash = (await this.#store.putTrees(batch.trees, root)) as Hash
    return { hash, root }
  }

  #setRoot(entry: NewEntry): void {
    if (entry.kind !== 'directory') throw new StoreError('invalid', 'The root must be a directory', { path: '' })
    const fault = attributesFault(entry)
    if (fault !== null) throw new StoreError('invalid', fault, { path: '' })
    if (this.#rootGiven) throw new StoreError('duplicate', 'The root is there already', { path: '' })
    this.#rootGiven = true
    this.#root.mode = entry.mode
    this.#root.mtime = entry.mtime
    this.#root.mtimeNsec = entry.mtimeNsec
  }

  #directoryAt(directoryPath: ByteString, path: ByteString): Directory {
    if (directoryPath === this.#lastParent.path) return this.#lastParent.directory
    let directory = this.#root
    for (const name of splitPath(directoryPath, path)) {
      const found = directory.names.get(name)
      if (found === undefined)
        throw new StoreError('missing-parent', 'The directory of the path was not given before', { path })
      if (typeof found === 'number')
        throw new StoreError('not-a-directory', 'A parent of the path is no directory', { path })
      directory = found
    }
    this.#lastParent = { path: directoryPath, directory }
    return directory
  }

  #checkRoom(parent: Directory, path: ByteString): void {
    if (this.#entries >= this.#maxEntries)
      throw new StoreError('limit', `More than ${this.#maxEntries} entries`, { path })
    if (parent.names.size < this.#maxTreeEntries) return
    throw new StoreError('limit', `More than ${this.#maxTreeEntries} entries in one directory`, { path })
  }

  async #checkBlobs(): Promise<void> {
    for (const files of this.#arena.files(ASK_BLOBS)) {
      const sizes = await this.#store.blobSizes(files.map(({ hash }) => hash))
      for (const [index, { hash, size, at }] of files.entries()) {
        if (sizes[index] === size) continue
        const path = findPath(this.#root, at) ?? ''
        if (sizes[index] === undefined) throw new StoreError('missing', `The store lacks blob ${hash}`, { hash, path })
        throw new StoreError('mismatch', `Blob ${hash} has ${sizes[index]} bytes, not ${size}`, { hash, path })
      }
    }
  }

  async #writeDirectory(
    directory: Directory,
    batch: Batch,
  ): Promise<Pick<DirectoryEntry, 'hash' | 'inodes' | 'bytes'>> {
    const names = Array.from(directory.names.keys()).sort()
    let length = TREE_HEADER_BYTES
    let inodes = 1
    let bytes = 0
    // Directories as entries of this one; the others are in the arena.
    const children = new Map<ByteString, DirectoryEntry>()
    for (const name of names) {
      const child = directory.names.get(name) as Directory | number
      if (typeof child === 'number') {
        length += this.#arena.lengthAt(child)
        inodes++
        bytes += this.#arena.fileSizeAt(child)
        continue
      }
      const { mode, mtime, mtimeNsec } = child
      const sums = await this.#writeDirectory(child, batch)
      const entry: DirectoryEntry = { kind: 'directory', name, mode, mtime, mtimeNsec, ...sums }
      children.set(name, entry)
      length += entryLength(entry)
      inodes += entry.inodes
      bytes += entry.bytes
    }
    if (!Number.isSafeInteger(bytes)) throw new StoreError('limit', 'A version of more than 2^53 bytes')
    const encoded = Buffer.allocUnsafe(length)
    let at = writeTreeHeader(encoded, names.length)
    for (const name of names) {
      const child = directory.names.get(name) as Directory | number
      at =
        typeof child === 'number'
          ? this.#arena.copy(child, encoded, at)
          : writeEntry(encoded, at, children.get(name) as DirectoryEntry)
    }
    directory.names = new Map()
    const hash = hashBytes(encoded)
    await this.#addToBatch(batch, hash, encoded)
    return { hash, inodes, bytes }
  }

  // Only full batches are written here, in the order of the hashing: children are never behind their parents.
  async #addToBatch(batch: Batch, hash: Hash, encoded: Buffer): Promise<void> {
    if (batch.trees.has(hash)) return
    batch.trees.set(hash, encoded)
    batch.bytes += encoded.length
    if (batch.bytes < BATCH_BYTES) return
    await this.#store.putTrees(batch.trees)
    batch.trees = new Map()
    batch.bytes = 0
  }
}

const ASK_BLOBS = 16_384

interface Directory {
  mode: number
  mtime: number
  mtimeNsec: number
  /** A directory, or where in the arena the entry is. */
  names: Map<ByteString, Directory | number>
}

interface Batch {
  trees: Map<Hash, Buffer>
  bytes: number
}

/** Null for a directory. */
function entryOf(entry: NewEntry, name: ByteString): FileEntry | SymlinkEntry | null {
  const { kind, path, mode, mtime, mtimeNsec } = entry
  let made: FileEntry | SymlinkEntry | null = null
  if (kind === 'file') made = { kind, name, mode, mtime, mtimeNsec, size: entry.size, hash: entry.hash }
  if (kind === 'symlink') made = { kind, name, mode, mtime, mtimeNsec, target: entry.target }
  const fault = attributesFault(entry) ?? (made === null ? null : contentFault(made))
  if (fault === null) return made
  const tooLong = kind === 'symlink' && entry.target.length > MAX_TARGET_BYTES
  throw new StoreError(tooLong ? 'limit' : 'invalid', fault, { path })
}

// A name cut out of a path keeps the whole path in memory.
function ownCopy(name: ByteString): ByteString {
  return Buffer.from(name, 'latin1').toString('latin1')
}

function findPath(directory: Directory, at: number): ByteString | null {
  for (const [name, child] of directory.names) {
    if (child === at) return name
    if (typeof child === 'number') continue
    const below = findPath(child, at)
    if (below !== null) return joinPath(name, below)
  }
  return null
}
