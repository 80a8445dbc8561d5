import type { Inode } from '../delta/inode.ts'
import type { Level } from '../policy/rule.ts'
import type { ByteString } from '../protocol/filesystem.ts'
import type { AccessTrail } from './access-trail.ts'
import type { EventLog } from './event-log.ts'
import type { Observer, Use } from './observer.ts'

/**
 * Sees what happens in a view: all changes are events, and what programs inside do is on their trail. Where the calls
 * come from outside there is no trail to keep.
 */
export class Witness implements Observer {
  readonly #events: EventLog
  readonly #trail: AccessTrail | null

  constructor(events: EventLog, trail: AccessTrail | null) {
    this.#events = events
    this.#trail = trail
  }

  created(directory: Inode, name: ByteString, inode: Inode): void {
    inode.trail = null
    this.#trail?.named('write', directory, name, inode.isDirectory)
    this.#events.created(directory, name, inode)
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
    this.#trail?.named('remove', directory, name, inode.isDirectory)
    this.#events.deleted(directory, name, inode)
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
    this.#trail?.named('remove', from, name, isDirectory)
    this.#trail?.named('write', to, newName, isDirectory)
    if (exchange) this.#trail?.named('write', from, name, isDirectory)
    if (isDirectory) {
      this.#trail?.named('move', from, name, true)
      this.#trail?.named('move', to, newName, true)
    }
    this.#events.renamed(from, name, to, newName, inode, exchange ? replaced : null)
  }

  used(inode: Inode, use: Use): void {
    this.#trail?.used(inode, use)
  }

  refused(directory: Inode, name: ByteString, needed: Level): void {
    this.#trail?.refused(directory, name, needed)
  }

  refusedAt(inode: Inode, needed: Level): void {
    this.#trail?.refusedAt(inode, needed)
  }
}
