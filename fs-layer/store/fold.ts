import type { ByteString } from '../protocol/filesystem.ts'
import { countFiles } from './count-files.ts'
import type { CutDirectory, CutEntry, CutPart, CutRoot } from './cut-part.ts'
import { hashBytes } from './hash.ts'
import { BATCH_BYTES } from './limits.ts'
import type { DirectoryEntry, Hash, Root, Tree, TreeEntry } from './objects.ts'
import type { Store } from './store.ts'
import { StoreError } from './store-error.ts'
import { encodeTree, sumTree } from './tree.ts'
import { BlobUpload } from './upload.ts'

export interface FoldOptions {
  /** Bytes of one file. */
  readonly maxFileBytes: number
  readonly signal?: AbortSignal
}

export interface Folded {
  readonly hash: Hash
  readonly root: Root
  /** FIFOs and sockets, which no version has. */
  readonly skipped: number
}

/**
 * Makes a version of a view from what it says of itself. Trees of the base that nothing below has changed stay as they
 * are, so the cost goes with the changes. All of it is durable when it resolves; what was put when it rejects is
 * nobody's, and need not be put again.
 *
 * @throws {StoreError} `limit`: a file, a directory or the whole that is too large; and what putting objects throws
 */
export async function fold(
  store: Store,
  base: Hash,
  parts: AsyncIterable<CutPart>,
  options: FoldOptions,
): Promise<Folded> {
  await using folding = new Folding(store, options)
  const reader = parts[Symbol.asyncIterator]()
  try {
    for (let next = await reader.next(); next.done !== true; next = await reader.next()) {
      options.signal?.throwIfAborted()
      const part = next.value
      if ('files' in part) await folding.addFiles(part.files)
      else if ('begin' in part) await folding.addLarge(part.begin, reader)
      else if ('directories' in part) await folding.addDirectories(part.directories)
      else if ('root' in part) return await folding.finish(part.root, store.rootSync(base))
    }
  } finally {
    await reader.return?.()
  }
  throw new TypeError('a cut without its root')
}

type Made = Pick<DirectoryEntry, 'hash' | 'inodes' | 'bytes'>

class Folding implements AsyncDisposable {
  readonly #store: Store
  readonly #options: FoldOptions
  readonly #upload: BlobUpload
  readonly #contents = new Map<number, Hash>()
  readonly #directories: Made[] = []
  readonly #trees = new Map<Hash, Tree>()
  #blobsDurable = false
  #batch = new Map<Hash, Buffer>()
  #batchBytes = 0

  constructor(store: Store, options: FoldOptions) {
    this.#store = store
    this.#options = options
    this.#upload = new BlobUpload({}, { store })
  }

  async addFiles(files: Extract<CutPart, { files: unknown }>['files']): Promise<void> {
    for (const { content, data } of files) {
      this.#checkSize(data.length)
      // The message that brought it has others' bytes in it too.
      const { hash } = await this.#upload.addBytes({}, Buffer.from(data))
      this.#contents.set(content, hash)
    }
  }

  async addLarge({ content, size }: { content: number; size: number }, reader: AsyncIterator<CutPart>): Promise<void> {
    this.#checkSize(size)
    const { signal } = this.#options
    const chunks = (async function* () {
      for (let left = size; left > 0; ) {
        signal?.throwIfAborted()
        const { value: part } = await reader.next()
        if (part === undefined || !('data' in part)) throw new TypeError('a cut that ends in a file')
        left -= part.data.length
        yield part.data
      }
    })()
    const { hash } = await this.#upload.addStream({ size }, chunks)
    this.#contents.set(content, hash)
  }

  async addDirectories(directories: readonly CutDirectory[]): Promise<void> {
    await this.#blobs()
    for (const { from, without, with: added } of directories) {
      const before = from === null ? [] : this.#store.treeSync(from).entries
      const tree = { entries: merged(before, new Set(without), added.map((entry) => this.#entry(entry)).sort(byName)) }
      const encoded = encodeTree(tree)
      const hash = hashBytes(encoded)
      this.#directories.push({ hash, ...sumTree(tree.entries) })
      this.#trees.set(hash, tree)
      await this.#put(hash, encoded)
    }
  }

  async finish({ skipped, ...attributes }: CutRoot, base: Root): Promise<Folded> {
    const top = this.#directories.at(-1) ?? { hash: base.tree, inodes: base.inodes, bytes: base.bytes }
    const files = countFiles(top, base, (hash) => this.#trees.get(hash) ?? this.#store.treeSync(hash))
    const { mode, mtime, mtimeNsec } = attributes
    const root: Root = { mode, mtime, mtimeNsec, tree: top.hash, inodes: top.inodes, bytes: top.bytes, files }
    const hash = (await this.#store.putTrees(this.#batch, root)) as Hash
    return { hash, root, skipped }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#upload[Symbol.asyncDispose]()
  }

  /** No tree is put before what it names. */
  async #blobs(): Promise<void> {
    if (this.#blobsDurable) return
    await this.#upload.commit()
    this.#blobsDurable = true
  }

  #entry(entry: CutEntry): TreeEntry {
    if ('content' in entry) {
      const { content, ...rest } = entry
      return { ...rest, hash: this.#contents.get(content) as Hash }
    }
    if (!('directory' in entry)) return entry
    const { directory, ...rest } = entry
    return { ...rest, ...(this.#directories[directory] as Made) }
  }

  async #put(hash: Hash, encoded: Buffer): Promise<void> {
    if (this.#batch.has(hash)) return
    this.#batch.set(hash, encoded)
    this.#batchBytes += encoded.length
    if (this.#batchBytes < BATCH_BYTES) return
    await this.#store.putTrees(this.#batch)
    this.#batch = new Map()
    this.#batchBytes = 0
  }

  #checkSize(size: number): void {
    const { maxFileBytes } = this.#options
    if (size > maxFileBytes) throw new StoreError('limit', `A file of ${size} bytes, over the limit of ${maxFileBytes}`)
  }
}

function byName(a: TreeEntry, b: TreeEntry): number {
  return a.name < b.name ? -1 : 1
}

/** Both are sorted; of a name that both have, the new entry counts. */
function merged(
  before: readonly TreeEntry[],
  without: ReadonlySet<ByteString>,
  added: readonly TreeEntry[],
): TreeEntry[] {
  const entries: TreeEntry[] = []
  let next = 0
  for (const entry of before) {
    for (let other = added[next]; other !== undefined && other.name < entry.name; other = added[++next]) {
      entries.push(other)
    }
    const same = added[next]
    if (same?.name === entry.name) {
      entries.push(same)
      next++
    } else if (!without.has(entry.name)) {
      entries.push(entry)
    }
  }
  entries.push(...added.slice(next))
  return entries
}
