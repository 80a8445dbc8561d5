import type { NodeId } from '../protocol/filesystem.ts'
import type { Inode } from './inode.ts'

/**
 * Which small contents are in memory, least recently used first. Those that are on their way to disk stay until they
 * are there; the others leave when there are too many bytes.
 */
export class SmallContents {
  readonly #maxBytes: number
  readonly #inodes = new Map<NodeId, Inode>()
  #bytes = 0

  constructor(options: { maxBytes: number }) {
    this.#maxBytes = options.maxBytes
  }

  get(node: NodeId): Inode | undefined {
    return this.#inodes.get(node)
  }

  /** `inode.inline` becomes `contents`, and stays until the next call: the caller may be about to change it. */
  put(inode: Inode, contents: Buffer): void {
    this.drop(inode)
    inode.inline = contents
    this.#inodes.set(inode.node, inode)
    this.#bytes += contents.length
    if (this.#bytes > this.#maxBytes) this.shrink(inode)
  }

  drop(inode: Inode): void {
    if (this.#inodes.delete(inode.node)) this.#bytes -= inode.inline?.length ?? 0
    inode.inline = null
  }

  shrink(except?: Inode): void {
    for (const inode of this.#inodes.values()) {
      if (this.#bytes <= this.#maxBytes) return
      if (!inode.inlineDirty && inode !== except) this.drop(inode)
    }
  }
}
