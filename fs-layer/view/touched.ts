import type { Inode } from '../delta/inode.ts'
import { ESTALE } from '../protocol/errno.ts'
import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import { ROOT_NODE } from '../protocol/filesystem.ts'
import type { Overlay } from './overlay.ts'

/**
 * The names in each directory at which a view may differ from its base, those on the way to a change among them. All
 * others are as the base has them, with all below.
 */
export class Touched {
  readonly #overlay: Overlay
  readonly #names = new Map<NodeId, Set<ByteString>>()
  readonly #seen: Inode[] = []

  constructor(overlay: Overlay) {
    this.#overlay = overlay
    for (const inode of overlay.delta.inodes.values()) {
      if (inode.node === ROOT_NODE) continue
      this.#add(inode.parent, inode.name)
      for (const { parent, name } of inode.otherNames ?? []) this.#add(parent, name)
    }
    for (const [parent, directory] of overlay.delta.directories) {
      for (const { name } of directory.all()) this.#add(parent, name)
    }
  }

  /** Undefined: nothing in it, or below, is touched. */
  in(directory: Inode): ReadonlySet<ByteString> | undefined {
    return this.#names.get(directory.node)
  }

  /** Lets go of what was only looked at. */
  release(): void {
    for (const inode of this.#seen) this.#overlay.unlook(inode)
  }

  #add(parent: NodeId, name: ByteString): void {
    let [at, child] = [parent, name]
    for (;;) {
      const there = this.#names.get(at)
      if (there !== undefined) {
        there.add(child)
        return
      }
      this.#names.set(at, new Set([child]))
      const directory = at === ROOT_NODE ? null : this.#directory(at)
      if (directory === null) return
      at = directory.parent
      child = directory.name
    }
  }

  /** Null for one that has no name any more. */
  #directory(node: NodeId): Inode | null {
    if (node === 0) return null
    try {
      const inode = this.#overlay.inode(node)
      this.#seen.push(inode)
      return inode
    } catch (error) {
      if (error === ESTALE) return null
      throw error
    }
  }
}
