import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import { ROOT_NODE } from '../protocol/filesystem.ts'
import type { DirectoryEntry, Hash, Root, Tree, TreeEntry } from '../store/objects.ts'
import type { BaseObjects } from './base-objects.ts'

/** A directory of the base whose own number is n has its i-th entry at number n + offsets[i]. */
interface Numbering {
  readonly offsets: Float64Array
}

const numberings = new WeakMap<Tree, Numbering>()

/**
 * The tree a view is based on, with an inode number for each of its entries: their place in preorder. So a
 * number needs no table, is the same at every mount, and leads back to its entry, down from the root.
 */
export class Base {
  readonly hash: Hash
  readonly root: Root
  readonly #store: BaseObjects
  readonly #rootEntry: DirectoryEntry

  constructor(store: BaseObjects, hash: Hash) {
    this.#store = store
    this.hash = hash
    this.root = store.rootSync(hash)
    this.#rootEntry = { kind: 'directory', name: '', hash: this.root.tree, ...attributesOf(this.root) }
  }

  /** Numbers 1 to this are the base's. */
  get inodes(): number {
    return this.root.inodes
  }

  tree(directory: TreeEntry): Tree {
    if (directory.kind !== 'directory') throw new TypeError(`base: ${directory.kind} is no directory`)
    return this.#store.treeSync(directory.hash)
  }

  /** The index of a name in its directory, or -1. */
  indexOf(tree: Tree, name: ByteString): number {
    const at = lowerBound(tree.entries, name)
    return tree.entries[at]?.name === name ? at : -1
  }

  /** What it has at a name of one of its directories; null where it has nothing, or the directory is not its own. */
  childOf(
    directory: { readonly node: NodeId; readonly entry: TreeEntry | null },
    name: ByteString,
  ): { node: NodeId; entry: TreeEntry } | null {
    if (directory.entry?.kind !== 'directory') return null
    const tree = this.tree(directory.entry)
    const index = this.indexOf(tree, name)
    const entry = tree.entries[index]
    return entry === undefined ? null : { node: this.nodeAt(directory.node, tree, index), entry }
  }

  nodeAt(directory: NodeId, tree: Tree, index: number): NodeId {
    return directory + numberingOf(tree).offsets[index]!
  }

  /** Descends from the root: a handful of binary searches, no walk. */
  find(node: NodeId): { entry: TreeEntry; parent: NodeId } {
    let entry: TreeEntry = this.#rootEntry
    let number = ROOT_NODE
    let parent = 0
    while (number !== node) {
      const tree = this.tree(entry)
      const index = lastAtMost(numberingOf(tree).offsets, node - number)
      const next = tree.entries[index]
      if (next === undefined) throw new RangeError(`base: no inode ${node}`)
      parent = number
      number += numberingOf(tree).offsets[index]!
      entry = next
    }
    return { entry, parent }
  }

  /** Names from the root, as the base has them. */
  pathOf(node: NodeId): ByteString {
    const names: ByteString[] = []
    for (let at = node; at !== ROOT_NODE; ) {
      const { entry, parent } = this.find(at)
      names.push(entry.name)
      at = parent
    }
    return names.reverse().join('/')
  }
}

function attributesOf({ mode, mtime, mtimeNsec, inodes, bytes }: Root) {
  return { mode, mtime, mtimeNsec, inodes, bytes }
}

function numberingOf(tree: Tree): Numbering {
  let numbering = numberings.get(tree)
  if (numbering === undefined) {
    const offsets = new Float64Array(tree.entries.length)
    let next = 1
    tree.entries.forEach((entry, index) => {
      offsets[index] = next
      next += entry.kind === 'directory' ? entry.inodes : 1
    })
    numbering = { offsets }
    numberings.set(tree, numbering)
  }
  return numbering
}

/** The first index whose name is not below the given one. Byte strings compare by their bytes. */
function lowerBound(entries: readonly TreeEntry[], name: ByteString): number {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (entries[middle]!.name < name) low = middle + 1
    else high = middle
  }
  return low
}

function lastAtMost(offsets: Float64Array, value: number): number {
  let low = 0
  let high = offsets.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (offsets[middle]! <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}
