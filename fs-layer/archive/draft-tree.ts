import type { ByteString } from '../protocol/filesystem.ts'
import { countFiles } from '../store/count-files.ts'
import { hashBytes } from '../store/hash.ts'
import { BATCH_BYTES } from '../store/limits.ts'
import type { DirectoryEntry, FileEntry, Hash, Root, SymlinkEntry, Tree, TreeEntry } from '../store/objects.ts'
import { splitPath } from '../store/paths.ts'
import type { Store } from '../store/store.ts'
import { encodeTree, sumTree } from '../store/tree.ts'
import { ArchiveError } from './archive-error.ts'

export interface Attributes {
  readonly mode: number
  readonly mtime: number
  readonly mtimeNsec: number
}

export type Leaf = Omit<FileEntry, 'name'> | Omit<SymlinkEntry, 'name'>

/**
 * A version that is being put together on top of another, in layers: what a layer says takes the place of what was
 * below it, and says each path once. Directories of the base are looked at only where something in them changes.
 */
export class DraftTree {
  readonly #store: Store
  readonly #base: Root
  readonly #maxEntries: number
  readonly #top: Directory
  #layer = 1
  /** Without the root. */
  #entries: number

  constructor(options: { readonly base: Hash; readonly maxEntries: number }, { store }: { store: Store }) {
    this.#store = store
    this.#base = store.rootSync(options.base)
    this.#maxEntries = options.maxEntries
    this.#entries = this.#base.inodes - 1
    const { mode, mtime, mtimeNsec, tree: hash, inodes, bytes } = this.#base
    this.#top = directoryOf({ kind: 'directory', name: '', mode, mtime, mtimeNsec, hash, inodes, bytes })
  }

  nextLayer(): void {
    this.#layer++
  }

  /** @throws {ArchiveError} `conflict`, `limit`; {StoreError} of a path that is none */
  placeDirectory(path: ByteString, attributes: Attributes): void {
    const names = splitPath(path)
    const name = names.pop()
    const { mode, mtime, mtimeNsec } = attributes
    if (name === undefined) return this.#describe(this.#top, { mode, mtime, mtimeNsec }, path)
    const parent = this.#parent(names, path)
    const there = this.#childrenOf(parent).get(name)
    if (there?.kind === 'directory') return this.#describe(there, { mode, mtime, mtimeNsec }, path)
    if (there !== undefined) this.#checkReplaced(there, path)
    this.#add(parent, name, { ...emptyDirectory({ mode, mtime, mtimeNsec }), given: this.#layer }, path)
  }

  /** @throws as `placeDirectory` */
  placeLeaf(path: ByteString, leaf: Leaf): void {
    const names = splitPath(path)
    const name = names.pop()
    if (name === undefined) throw new ArchiveError('conflict', 'The root is no directory')
    const parent = this.#parent(names, path)
    const there = this.#childrenOf(parent).get(name)
    if (there !== undefined) this.#checkReplaced(there, path)
    this.#add(parent, name, { ...leaf, given: this.#layer }, path)
  }

  /** A file of this layer or of one below; null where there is none. Links are not followed. */
  fileAt(path: ByteString): Omit<FileEntry, 'name'> | null {
    const leaf = this.leafAt(path)
    return leaf?.kind === 'file' ? leaf : null
  }

  /** The same, or a link. */
  leafAt(path: ByteString): Leaf | null {
    let node: Node = this.#top
    for (const name of splitPath(path)) {
      if (node.kind !== 'directory') return null
      const next: Node | undefined = this.#childrenOf(node).get(name)
      if (next === undefined) return null
      node = next
    }
    return node.kind === 'directory' ? null : node
  }

  /** Of what is below this layer; that there is nothing is no error. */
  remove(path: ByteString): void {
    const names = splitPath(path)
    const name = names.pop()
    const parent = this.#existing(names)
    if (name === undefined || parent === null) return
    const there = this.#childrenOf(parent).get(name)
    if (there !== undefined) this.#removeBelow(parent, name, there)
  }

  /** All that is below this layer in a directory. */
  clear(path: ByteString): void {
    const directory = this.#existing(splitPath(path))
    if (directory === null) return
    for (const [name, child] of this.#childrenOf(directory)) this.#removeBelow(directory, name, child)
  }

  /** Durable when it resolves, if the blobs are. */
  async finish(): Promise<{ hash: Hash; root: Root }> {
    const order: Directory[] = []
    const waiting = [this.#top]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      order.push(next)
      for (const child of next.children?.values() ?? []) if (child.kind === 'directory') waiting.push(child)
    }
    const made = new Map<Directory, Made>()
    const trees = new Map<Hash, Tree>()
    let batch = new Map<Hash, Buffer>()
    let batchBytes = 0
    // Children come after their parents in that order.
    for (const directory of order.reverse()) {
      if (directory.children === null) {
        made.set(directory, directory.origin as DirectoryEntry)
        continue
      }
      const tree = { entries: entriesOf(directory.children, made) }
      const encoded = encodeTree(tree)
      const hash = hashBytes(encoded)
      made.set(directory, { hash, ...sumTree(tree.entries) })
      if (trees.has(hash)) continue
      trees.set(hash, tree)
      batch.set(hash, encoded)
      batchBytes += encoded.length
      if (batchBytes < BATCH_BYTES) continue
      await this.#store.putTrees(batch)
      batch = new Map()
      batchBytes = 0
    }
    const { hash: tree, inodes, bytes } = made.get(this.#top) as Made
    const treeOf = (hash: Hash) => trees.get(hash) ?? this.#store.treeSync(hash)
    const files = countFiles({ hash: tree, inodes }, this.#base, treeOf)
    const { mode, mtime, mtimeNsec } = this.#top
    const root: Root = { mode, mtime, mtimeNsec, tree, inodes, bytes, files }
    return { hash: (await this.#store.putTrees(batch, root)) as Hash, root }
  }

  /** What a directory entry says of one that is there. */
  #describe(directory: Directory, attributes: Attributes, path: ByteString): void {
    if (directory.given === this.#layer && !directory.isImplied) throw duplicate(path)
    Object.assign(directory, attributes, { given: this.#layer, isImplied: false })
  }

  /** Those that are missing are made, as no entry says what they are. */
  #parent(names: readonly ByteString[], path: ByteString): Directory {
    let directory = this.#top
    for (const name of names) {
      const child = this.#childrenOf(directory).get(name)
      if (child?.kind === 'directory') {
        directory = child
        continue
      }
      if (child !== undefined) {
        // Also where it is a link: what is behind it is not the archive's.
        throw new ArchiveError('conflict', `What should be in ${child.kind === 'symlink' ? 'a link' : 'a file'}`, path)
      }
      const made = { ...emptyDirectory({ mode: 0o755, mtime: 0, mtimeNsec: 0 }), given: this.#layer, isImplied: true }
      this.#add(directory, name, made, path)
      directory = made
    }
    return directory
  }

  #existing(names: readonly ByteString[]): Directory | null {
    let directory = this.#top
    for (const name of names) {
      const child = this.#childrenOf(directory).get(name)
      if (child?.kind !== 'directory') return null
      directory = child
    }
    return directory
  }

  #add(parent: Directory, name: ByteString, node: Node, path: ByteString): void {
    if (++this.#entries > this.#maxEntries) {
      throw new ArchiveError('limit', `More than ${this.#maxEntries} entries`, path)
    }
    this.#childrenOf(parent).set(ownCopy(name), node)
  }

  #checkReplaced(there: Node, path: ByteString): void {
    if (there.given === this.#layer) throw duplicate(path)
    this.#entries -= inodesOf(there)
  }

  #removeBelow(parent: Directory, name: ByteString, node: Node): void {
    if (node.given === this.#layer) {
      // What this layer has in it stays.
      if (node.kind === 'directory') {
        for (const [below, child] of this.#childrenOf(node)) this.#removeBelow(node, below, child)
      }
      return
    }
    this.#entries -= inodesOf(node)
    this.#childrenOf(parent).delete(name)
  }

  #childrenOf(directory: Directory): Map<ByteString, Node> {
    if (directory.children === null) {
      const { entries } = this.#store.treeSync((directory.origin as DirectoryEntry).hash)
      directory.children = new Map(entries.map((entry) => [entry.name, nodeOf(entry)]))
    }
    return directory.children
  }
}

type Made = Pick<DirectoryEntry, 'hash' | 'inodes' | 'bytes'>

interface Given {
  /** The layer that said so; 0 is the base. */
  given: number
}

type Node = (Omit<FileEntry, 'name'> & Given) | (Omit<SymlinkEntry, 'name'> & Given) | Directory

interface Directory extends Given {
  readonly kind: 'directory'
  mode: number
  mtime: number
  mtimeNsec: number
  isImplied: boolean
  /** Null: as they are in `origin`. */
  children: Map<ByteString, Node> | null
  readonly origin: DirectoryEntry | null
}

function nodeOf(entry: TreeEntry): Node {
  return entry.kind === 'directory' ? directoryOf(entry) : { ...entry, given: 0 }
}

function directoryOf(origin: DirectoryEntry): Directory {
  const { mode, mtime, mtimeNsec } = origin
  return { kind: 'directory', mode, mtime, mtimeNsec, isImplied: false, children: null, origin, given: 0 }
}

function emptyDirectory(attributes: Attributes): Directory {
  return { kind: 'directory', ...attributes, isImplied: false, children: new Map(), origin: null, given: 0 }
}

function entriesOf(children: ReadonlyMap<ByteString, Node>, made: ReadonlyMap<Directory, Made>): TreeEntry[] {
  const entries = [...children].map(([name, node]): TreeEntry => {
    const { mode, mtime, mtimeNsec } = node
    const attributes = { name, mode, mtime, mtimeNsec }
    if (node.kind === 'file') return { kind: 'file', ...attributes, size: node.size, hash: node.hash }
    if (node.kind === 'symlink') return { kind: 'symlink', ...attributes, target: node.target }
    const { hash, inodes, bytes } = made.get(node) as Made
    return { kind: 'directory', ...attributes, hash, inodes, bytes }
  })
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
}

function inodesOf(node: Node): number {
  if (node.kind !== 'directory') return 1
  let inodes = 0
  const waiting: Node[] = [node]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next.kind !== 'directory' || next.children !== null) inodes++
    else inodes += next.origin?.inodes ?? 1
    if (next.kind === 'directory' && next.children !== null) waiting.push(...next.children.values())
  }
  return inodes
}

function duplicate(path: ByteString): ArchiveError {
  return new ArchiveError('conflict', 'The archive has the path twice', path)
}

/** A slice of a longer text would keep all of it. */
function ownCopy(name: ByteString): ByteString {
  return Buffer.from(name, 'latin1').toString('latin1')
}
