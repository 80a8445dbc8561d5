import type { Inode } from '../delta/inode.ts'
import type { Level } from '../policy/rule.ts'
import type { ByteString } from '../protocol/filesystem.ts'
import type { AccessTrail } from './access-trail.ts'
import type { EventLog } from './event-log.ts'
import type { Observer, Use } from './observer.ts'
import type { PathMemory } from './path-memory.ts'

/**
 * Sees what happens in a view: all changes are events, and what programs inside do is on their trail. Where the calls
 * come from outside there is no trail to keep.
 */
export class Witness implements Observer {
  readonly #paths: PathMemory
  readonly #events: EventLog
  readonly #trail: AccessTrail | null

  constructor(paths: PathMemory, events: EventLog, trail: AccessTrail | null) {
    this.#paths = paths
    this.#events = events
    this.#trail = trail
  }

  created(directory: Inode, name: ByteString, inode: Inode): void {
    const path = this.#paths.childOf(directory, name)
    if (this.#trail === null) inode.trail = null
    else this.#trail.came(path, inode)
    this.#events.created(path, inode)
  }

  modified(inode: Inode): void {
    this.#trail?.wrote(inode)
    this.#events.modified(inode)
  }

  attributesChanged(inode: Inode): void {
    this.#trail?.wrote(inode)
    this.#events.attributesChanged(inode)
  }

  deleted(directory: Inode, name: ByteString, inode: Inode): void {
    const path = this.#paths.childOf(directory, name)
    if (inode.nlink === 0) this.#trail?.wentOnly(path, inode)
    else this.#trail?.named('remove', path, inode.isDirectory)
    inode.trail = null
    this.#events.deleted(path, inode)
  }

  renamed(
    from: Inode,
    name: ByteString,
    to: Inode,
    newName: ByteString,
    inode: Inode,
    replaced: Inode | null,
    exchange: boolean,
  ): void {
    if (replaced !== null) replaced.trail = null
    const isDirectory = inode.isDirectory || (exchange && replaced?.isDirectory === true)
    const [oldPath, path] = [this.#paths.childOf(from, name), this.#paths.childOf(to, newName)]
    if (this.#trail === null) inode.trail = null
    else if (isDirectory || exchange) this.#trailMove(this.#trail, inode, [oldPath, path], { isDirectory, exchange })
    else {
      if (inode.nlink === 1) this.#trail.wentOnly(oldPath, inode)
      else this.#trail.named('remove', oldPath, false)
      this.#trail.came(path, inode)
    }
    this.#events.renamed(oldPath, path, inode, exchange ? replaced : null)
  }

  used(inode: Inode, use: Use): void {
    this.#trail?.used(inode, use)
  }

  refused(directory: Inode, name: ByteString, needed: Level): void {
    this.#trail?.refused(this.#paths.childOf(directory, name), needed)
  }

  refusedAt(inode: Inode, needed: Level): void {
    this.#trail?.refusedAt(inode, needed)
  }

  #trailMove(
    trail: AccessTrail,
    inode: Inode,
    [oldPath, path]: readonly [ByteString, ByteString],
    { isDirectory, exchange }: { isDirectory: boolean; exchange: boolean },
  ): void {
    inode.trail = null
    trail.named('remove', oldPath, isDirectory)
    trail.named('write', path, isDirectory)
    if (exchange) trail.named('write', oldPath, isDirectory)
    if (!isDirectory) return
    trail.named('move', oldPath, true)
    trail.named('move', path, true)
  }
}
