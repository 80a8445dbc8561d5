import type { Inode } from '../delta/inode.ts'
import type { NodeId } from '../protocol/filesystem.ts'

/**
 * Nodes of the base that somebody looks at and the delta has not changed: they can be made again from their number,
 * so they are kept only while the kernel holds them. It holds what it has seen until it needs the memory itself; when
 * that becomes too many here, it is asked to let go of the oldest.
 */
export class KnownNodes {
  readonly #maxNodes: number
  readonly #batch: number
  readonly #byNumber = new Map<NodeId, Inode>()
  #sinceAsked = 0
  /** Told the oldest when there are too many: the kernel drops those that nobody uses, and then forgets them. */
  onCrowded: (oldest: readonly Inode[]) => void = () => undefined

  constructor(options: { maxNodes: number }) {
    this.#maxNodes = options.maxNodes
    this.#batch = Math.max(1, Math.floor(options.maxNodes / 16))
  }

  get(node: NodeId): Inode | undefined {
    return this.#byNumber.get(node)
  }

  get size(): number {
    return this.#byNumber.size
  }

  set(inode: Inode): void {
    if (this.#byNumber.has(inode.node)) return
    this.#byNumber.set(inode.node, inode)
    if (this.#byNumber.size <= this.#maxNodes || ++this.#sinceAsked < this.#batch) return
    this.#sinceAsked = 0
    this.onCrowded(this.#oldest(this.#batch * 2))
  }

  delete(node: NodeId): void {
    this.#byNumber.delete(node)
  }

  values(): Iterable<Inode> {
    return this.#byNumber.values()
  }

  /** They are the youngest then, so that what the kernel cannot let go is not asked for again at once. */
  #oldest(count: number): Inode[] {
    const oldest: Inode[] = []
    for (const inode of this.#byNumber.values()) {
      oldest.push(inode)
      if (oldest.length >= count) break
    }
    for (const inode of oldest) {
      this.#byNumber.delete(inode.node)
      this.#byNumber.set(inode.node, inode)
    }
    return oldest
  }
}
