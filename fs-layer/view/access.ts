import type { Inode } from '../delta/inode.ts'
import type { PathState } from '../policy/path-state.ts'
import { type Level, NONE, READ, VIEW, WRITE } from '../policy/rule.ts'
import { EACCES, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY, EXDEV } from '../protocol/errno.ts'
import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import type { Observer } from './observer.ts'
import type { Overlay } from './overlay.ts'
import type { Visibility } from './visibility.ts'

const NAME_MAX_BYTES = 255

/**
 * What a caller may reach and do: the inode, or the errno.
 *
 * Two rules keep what is hidden from being told by an answer:
 *  - a hidden name is answered as a name that does not exist, and making something there is refused in the
 *    same way (EACCES) whether there is something or not;
 *  - a refusal that depends on what is below a directory looks at the rules alone, or only at visible entries.
 */
export class Access {
  readonly #overlay: Overlay
  readonly #visibility: Visibility
  observer: Observer | null = null

  constructor(overlay: Overlay, visibility: Visibility) {
    this.#overlay = overlay
    this.#visibility = visibility
  }

  /**
   * Whether a directory may move with all below it: only where the rules give everything under it the same level at
   * both places. More would uncover it; less would leave what the kernel remembers of it readable. By the rules
   * alone, so that the answer tells nothing of what is hidden; on EXDEV mv(1) copies what it can see and deletes that.
   */
  needMovable(inode: Inode, from: PathState, to: PathState): void {
    if (this.#visibility.mayRaise(from, to) || this.#visibility.mayRaise(to, from)) throw EXDEV
    if (this.#visibility.hasRestrictedBelow(inode, from)) throw EACCES
  }

  /** Throws unless the directory has nothing that can be seen. Returns whether it has something hidden. */
  seemsEmpty(directory: Inode): boolean {
    const state = this.#visibility.stateOf(directory)
    let hidden = false
    for (const listed of this.#overlay.list(directory)) {
      if (this.#visibility.shows(state, listed)) throw ENOTEMPTY
      hidden = true
    }
    return hidden || this.#hasShadows(directory)
  }

  #hasShadows(directory: Inode): boolean {
    for (const dentry of this.#overlay.delta.directories.get(directory.node)?.all() ?? []) {
      if (dentry.shadows.length > 0) return true
    }
    return false
  }

  directory(node: NodeId): Inode {
    const inode = this.visible(node)
    if (!inode.isDirectory) throw ENOTDIR
    return inode
  }

  visible(node: NodeId): Inode {
    const inode = this.#overlay.inode(node)
    if (!this.#visibility.isVisible(inode)) throw ENOENT
    return inode
  }

  visibleChild(directory: Inode, name: ByteString): Inode | null {
    if (name.length > NAME_MAX_BYTES) throw ENAMETOOLONG
    if (directory.nlink === 0) return null
    const inode = this.#overlay.lookup(directory, name)
    const state = this.#visibility.childState(directory, name)
    if (inode !== null && this.#visibility.isVisibleAs(inode, state)) return inode
    // Told whether it is there or not: who is told must not learn that either.
    if (state.level < VIEW) this.observer?.refused(directory, name, VIEW)
    return null
  }

  existing(directory: Inode, name: ByteString): Inode {
    const inode = this.visibleChild(directory, name)
    if (inode === null) throw ENOENT
    return inode
  }

  need(inode: Inode, level: Level): void {
    if (this.#visibility.stateOf(inode).level >= level) {
      if (level === WRITE) this.#overlay.delta.needWritable()
      return
    }
    this.observer?.refusedAt(inode, level)
    throw EACCES
  }

  /**
   * The kernel asks for attributes that it has. It does so before it refuses by permission bits what the narrowed mode
   * does not allow (`fuse_permission` in fs/fuse/dir.c), and when a program wants statx(2) to ask
   * (AT_STATX_FORCE_SYNC). Of a file whose level does not allow everything the first is meant.
   *
   * Not of one that was open: reading makes the kernel forget the time of access (`fuse_invalidate_atime`), and each
   * close(2), where it gathers writes, the room that the file takes (`fuse_flush`); both without telling us. An empty
   * one is read without a request.
   */
  refusedByMode(inode: Inode): void {
    const { level } = this.#visibility.stateOf(inode)
    if (inode.isDirectory || inode.isSymlink || level === NONE || level === WRITE) return
    if (inode.wasOpen || (inode.size === 0 && level === READ)) return
    this.observer?.refusedAt(inode, level === VIEW ? READ : WRITE)
  }

  needAt(directory: Inode, name: ByteString, level: Level): PathState {
    if (directory.nlink === 0) throw ENOENT
    const state = this.#visibility.childState(directory, name)
    if (state.level >= level) {
      if (level === WRITE) this.#overlay.delta.needWritable()
      return state
    }
    this.observer?.refused(directory, name, level)
    throw EACCES
  }
}
