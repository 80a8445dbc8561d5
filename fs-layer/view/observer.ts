import type { Inode } from '../delta/inode.ts'
import type { Level } from '../policy/rule.ts'
import type { ByteString } from '../protocol/filesystem.ts'

/**
 * Hears of what happens in a view, from the one place where it happens. Called on the path of each request: an
 * observer keeps what it needs in a few steps, and never throws. The inode is the view's own; nothing of it is kept
 * but its number.
 */
export interface Observer {
  /** A name came to be: a new inode's first, or a further one. */
  created(directory: Inode, name: ByteString, inode: Inode): void
  /** Contents changed. Called for every write. */
  modified(inode: Inode): void
  /** Mode, owner, times or extended attributes changed. */
  attributesChanged(inode: Inode): void
  deleted(directory: Inode, name: ByteString, inode: Inode): void
  /** `replaced` stood at the new name; with `exchange` it stands at the old one now. */
  renamed(
    from: Inode,
    name: ByteString,
    to: Inode,
    newName: ByteString,
    inode: Inode,
    replaced: Inode | null,
    exchange: boolean,
  ): void
  /** The sandbox looked at a name that is there, or read: see `Use`. What changes something is told above alone. */
  used(inode: Inode, use: Use): void
  /** The rules refused it: the name is hidden (whether or not it is there), or its level is too low. */
  refused(directory: Inode, name: ByteString, needed: Level): void
  /** The same for an inode at hand. */
  refusedAt(inode: Inode, needed: Level): void
}

/** `look`: attributes or existence. `list`: a directory's names. */
export type Use = 'look' | 'list' | 'read'
