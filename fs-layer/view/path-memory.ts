import type { Inode } from '../delta/inode.ts'
import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import { ROOT_NODE } from '../protocol/filesystem.ts'
import { REMEMBERED_PATHS_MAX } from './limits.ts'
import type { Overlay } from './overlay.ts'

/**
 * Paths of nodes for who notes what happens to them. Those of directories are remembered until one moves: what happens
 * in a directory mostly happens there many times.
 */
export class PathMemory {
  readonly #overlay: Overlay
  readonly #directories = new Map<NodeId, ByteString>()
  #moves = 0

  constructor(overlay: Overlay) {
    this.#overlay = overlay
  }

  /** Of the first of its names. */
  of(inode: Inode): ByteString {
    if (inode.node === ROOT_NODE) return ''
    return this.childAt(inode.parent, inode.name)
  }

  childOf(directory: Inode, name: ByteString): ByteString {
    return this.childAt(directory.node, name)
  }

  childAt(directory: NodeId, name: ByteString): ByteString {
    const path = this.#directoryPath(directory)
    return path === '' ? name : `${path}/${name}`
  }

  #directoryPath(node: NodeId): ByteString {
    if (this.#moves !== this.#overlay.moves || this.#directories.size >= REMEMBERED_PATHS_MAX) {
      this.#directories.clear()
      this.#moves = this.#overlay.moves
    }
    let path = this.#directories.get(node)
    if (path === undefined) {
      path = this.#overlay.pathOf(this.#overlay.inode(node))
      this.#directories.set(node, path)
    }
    return path
  }
}
