import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import { operationsFor, type State } from './batch.ts'
import { Changes } from './changes.ts'
import type { Journal } from './journal.ts'
import type { Meta } from './record.ts'

/** What has changed since the last entry of a journal. */
export class Unsaved {
  readonly #journal: Journal
  #changes = new Changes()
  #meta = false

  constructor(journal: Journal) {
    this.#journal = journal
  }

  inode(node: NodeId): void {
    this.#changes.inode(node)
  }

  content(node: NodeId): void {
    this.#changes.content(node)
  }

  dentry(parent: NodeId, name: ByteString): void {
    this.#changes.dentry(parent, name)
  }

  /** A node's number, to a file that may never have a name: no other may get it. */
  numberGiven(): void {
    this.#meta = true
  }

  /** False: nothing has changed. */
  save(state: State, meta: Meta, reply: Buffer | null): boolean {
    const changes = this.#changes
    // The last number given out tells of those before it, where its inode is in the entry.
    const needsMeta = this.#meta && !changes.inodes.has(meta.nextNode - 1)
    if (!needsMeta && changes.count === 0) return false
    this.#journal.add(operationsFor(state, needsMeta ? meta : null, changes), reply)
    this.#meta = false
    this.#changes = new Changes()
    return true
  }
}
