import { randomBytes } from 'node:crypto'
import type { Inode } from '../delta/inode.ts'
import type { ByteString } from '../protocol/filesystem.ts'
import type { Happening, HappeningKind } from './file-event.ts'
import { EVENT_BYTES_MAX, EVENT_NAMES_MAX, EVENTS_MAX } from './limits.ts'
import { kindOf } from './node-info.ts'
import type { PathMemory } from './path-memory.ts'

/** An event; that other rules are in force; or that something became of more names than events are kept for. */
export type Logged = Happening | 'rules' | 'names'

/**
 * The last things that happened in a view, numbered from 1 for as long as it is open. Bounded: the oldest go first,
 * and whoever has not read them by then is told (`Watcher`).
 *
 * A file that was modified and is modified again has one event as long as nobody was given it, so that a log which
 * nobody reads, or reads slowly, keeps one for each file.
 */
export class EventLog {
  /** Made anew with each view that is opened: positions of another one mean nothing. */
  readonly epoch = randomBytes(8).toString('hex')
  readonly #paths: PathMemory
  #events: Logged[] = []
  /** Where the oldest is in `#events`, and its number. */
  #head = 0
  #first = 1
  #bytes = 0
  /** All before this number have been given to somebody. */
  #given = 1
  /** The number of the last move of a directory: names of earlier events may mean others since. */
  #moved = 0
  readonly #waiting = new Set<() => void>()
  #closed = false

  constructor(paths: PathMemory) {
    this.#paths = paths
  }

  /** The number of the oldest that is kept, and of the next one. */
  get first(): number {
    return this.#first
  }

  get next(): number {
    return this.#first + this.#events.length - this.#head
  }

  get closed(): boolean {
    return this.#closed
  }

  at(position: number): Logged | undefined {
    return position < this.#first ? undefined : this.#events[position - this.#first + this.#head]
  }

  /** Somebody has been given all before `position`. */
  gave(position: number): void {
    if (position > this.#given) this.#given = position
  }

  /** `wake` is called once, at the next event or when the view closes. */
  wait(wake: () => void): void {
    this.#waiting.add(wake)
  }

  stopWaiting(wake: () => void): void {
    this.#waiting.delete(wake)
  }

  created(path: ByteString, inode: Inode): void {
    forgetPositions(inode)
    this.#add({ kind: 'created', path, type: kindOf(inode.mode) })
  }

  deleted(path: ByteString, inode: Inode): void {
    forgetPositions(inode)
    this.#add({ kind: 'deleted', path, type: kindOf(inode.mode) })
  }

  renamed(from: ByteString, path: ByteString, inode: Inode, exchanged: Inode | null): void {
    forgetPositions(inode)
    if (exchanged !== null) forgetPositions(exchanged)
    if (inode.isDirectory || exchanged?.isDirectory) this.#moved = this.next
    this.#add({
      kind: 'renamed',
      path,
      from,
      type: kindOf(inode.mode),
      ...(exchanged === null ? {} : { exchanged: true }),
    })
  }

  modified(inode: Inode): void {
    if (inode.modifiedAt >= this.#given && inode.modifiedAt > this.#moved) return
    inode.modifiedAt = this.next
    this.#addForEachName('modified', inode)
  }

  attributesChanged(inode: Inode): void {
    if (inode.attributesAt >= this.#given && inode.attributesAt > this.#moved) return
    inode.attributesAt = this.next
    this.#addForEachName('attributes', inode)
  }

  rulesChanged(): void {
    this.#add('rules')
  }

  close(): void {
    this.#closed = true
    this.#wakeAll()
  }

  #addForEachName(kind: HappeningKind, inode: Inode): void {
    // What has no name any more concerns nobody who goes by names.
    if (inode.nlink === 0) return
    // A file may have tens of thousands, which a program would make each of its writes pay for.
    if (inode.nlink > EVENT_NAMES_MAX) {
      this.#add('names')
      return
    }
    const type = kindOf(inode.mode)
    this.#add({ kind, path: this.#paths.of(inode), type })
    for (const { parent, name } of inode.otherNames ?? []) {
      this.#add({ kind, path: this.#paths.childAt(parent, name), type })
    }
  }

  #add(event: Logged): void {
    this.#events.push(event)
    this.#bytes += bytesOf(event)
    while (this.#events.length - this.#head > EVENTS_MAX || this.#bytes > EVENT_BYTES_MAX) this.#dropOldest()
    if (this.#waiting.size > 0) this.#wakeAll()
  }

  #dropOldest(): void {
    this.#bytes -= bytesOf(this.#events[this.#head] as Logged)
    this.#head++
    this.#first++
    if (this.#head < EVENTS_MAX) return
    this.#events = this.#events.slice(this.#head)
    this.#head = 0
  }

  #wakeAll(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }
}

/** An event before a change of its names does not stand for what happens after it. */
function forgetPositions(inode: Inode): void {
  inode.modifiedAt = -1
  inode.attributesAt = -1
}

function bytesOf(event: Logged): number {
  return typeof event === 'string' ? 0 : event.path.length + (event.from?.length ?? 0)
}
