import type { ByteString, NodeId } from '../protocol/filesystem.ts'

/** Which records of a delta have changed since some moment. */
export class Changes {
  readonly inodes = new Set<NodeId>()
  readonly contents = new Set<NodeId>()
  readonly dentries = new Map<NodeId, Set<ByteString>>()
  #names = 0

  get count(): number {
    return this.inodes.size + this.contents.size + this.#names
  }

  inode(node: NodeId): void {
    this.inodes.add(node)
  }

  content(node: NodeId): void {
    this.contents.add(node)
  }

  dentry(parent: NodeId, name: ByteString): void {
    const names = this.dentries.get(parent)
    if (names === undefined) this.dentries.set(parent, new Set([name]))
    else if (names.has(name)) return
    else names.add(name)
    this.#names++
  }

  addAll(others: Changes): void {
    for (const node of others.inodes) this.inode(node)
    for (const node of others.contents) this.content(node)
    for (const [parent, names] of others.dentries) for (const name of names) this.dentry(parent, name)
  }
}
