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
    inode.trail = null
    const path = this.#paths.childOf(directory, name)
    this.#trail?.named('write', path, inode.isDirectory)
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
    inode.trail = null
    const path = this.#paths.childOf(directory, name)
    this.#trail?.named('remove', path, inode.isDirectory)
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
    inode.trail = null
    if (replaced !== null) replaced.trail = null
    const isDirectory = inode.isDirectory || (exchange && replaced?.isDirectory === true)
    const [oldPath, path] = [this.#paths.childOf(from, name), this.#paths.childOf(to, newName)]
    this.#trail?.named('remove', oldPath, isDirectory)
    this.#trail?.named('write', path, isDirectory)
    if (exchange) this.#trail?.named('write', oldPath, isDirectory)
    if (isDirectory) {
      this.#trail?.named('move', oldPath, true)
      this.#trail?.named('move', path, true)
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
}
