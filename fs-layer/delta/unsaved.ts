import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import { operationsFor, type State } from './batch.ts'
import type { Journal } from './journal.ts'
import type { Meta } from './record.ts'

/** What has changed since the last entry of a journal. */
export class Unsaved {
  readonly #journal: Journal
  #inodes = new Set<NodeId>()
  #dentries = new Map<NodeId, Set<ByteString>>()
  #contents = new Set<NodeId>()
  #meta = false

  constructor(journal: Journal) {
    this.#journal = journal
  }

  inode(node: NodeId): void {
    this.#inodes.add(node)
  }

  content(node: NodeId): void {
    this.#contents.add(node)
  }

  dentry(parent: NodeId, name: ByteString): void {
    const names = this.#dentries.get(parent)
    if (names === undefined) this.#dentries.set(parent, new Set([name]))
    else names.add(name)
  }

  /** A node's number, to a file that may never have a name: no other may get it. */
  numberGiven(): void {
    this.#meta = true
  }

  /** False: nothing has changed. */
  save(state: State, meta: Meta, reply: Buffer | null): boolean {
    const [inodes, dentries, contents] = [this.#inodes, this.#dentries, this.#contents]
    // The last number given out tells of those before it, where its inode is in the entry.
    const needsMeta = this.#meta && !inodes.has(meta.nextNode - 1)
    if (!needsMeta && inodes.size + dentries.size + contents.size === 0) return false
    this.#journal.add(operationsFor(state, needsMeta ? meta : null, { inodes, dentries, contents }), reply)
    this.#meta = false
    this.#inodes = new Set()
    this.#dentries = new Map()
    this.#contents = new Set()
    return true
  }
}
