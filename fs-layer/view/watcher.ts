import type { ByteString } from '../protocol/filesystem.ts'
import type { EventLog } from './event-log.ts'
import {
  type Cursor,
  type FileEvent,
  formatCursor,
  type Happening,
  parseCursor,
  type Reset,
  type ResetReason,
} from './file-event.ts'
import { EVENT_BATCH_MAX } from './limits.ts'

export interface WatchOptions {
  /** What is at or below it; '' for everything. */
  readonly path: ByteString
  /** Where to go on. */
  readonly cursor?: Cursor | undefined
}

/**
 * One reader of a view's events. What it has not read yet is nowhere but in the log, so it costs nothing to be slow;
 * who is too slow is told to look anew.
 *
 * Paths are judged when the event is read, by the rules of then. A name that comes into sight by a rename is told as
 * created, one that goes out of it as deleted.
 */
export class Watcher implements AsyncIterator<FileEvent[], undefined> {
  readonly #log: EventLog
  readonly #path: ByteString
  readonly #visible: ((path: ByteString) => boolean) | null
  #position: number
  #reset: ResetReason | null
  #wake: (() => void) | null = null
  #ended = false

  /** `visible` is null for whom nothing is hidden. */
  constructor({ path, cursor }: WatchOptions, log: EventLog, visible: ((path: ByteString) => boolean) | null) {
    this.#log = log
    this.#path = path
    this.#visible = visible
    const from = cursor === undefined ? null : parseCursor(cursor)
    const isOfThis = from !== null && from.epoch === log.epoch && from.position >= 1 && from.position <= log.next
    this.#reset = isOfThis ? null : cursor === undefined ? 'begin' : 'renewed'
    this.#position = isOfThis ? from.position : log.next
  }

  /** Resolves when there is something to tell; done when the view has been closed, or after `return`. */
  async next(): Promise<IteratorResult<FileEvent[], undefined>> {
    while (!this.#ended) {
      const events = this.#collect()
      if (events.length > 0) return { value: events, done: false }
      if (this.#log.closed) break
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        this.#log.wait(resolve)
      })
      this.#wake = null
    }
    return { value: undefined, done: true }
  }

  /** A `next` that waits is done with it. */
  async return(): Promise<IteratorResult<FileEvent[], undefined>> {
    this.#ended = true
    if (this.#wake !== null) {
      this.#log.stopWaiting(this.#wake)
      this.#wake()
    }
    return { value: undefined, done: true }
  }

  #collect(): FileEvent[] {
    const events: FileEvent[] = []
    const log = this.#log
    if (this.#position < log.first) {
      this.#reset ??= 'expired'
      this.#position = log.next
    }
    if (this.#reset !== null) {
      events.push({ kind: 'reset', reason: this.#reset, cursor: this.#cursor() })
      this.#reset = null
    }
    while (this.#position < log.next && events.length < EVENT_BATCH_MAX) {
      const logged = log.at(this.#position)
      this.#position++
      if (logged === undefined) continue
      const told = typeof logged === 'string' ? this.#anew(logged) : this.#inSight(logged)
      if (told !== null) events.push({ ...told, cursor: this.#cursor() })
    }
    log.gave(this.#position)
    return events
  }

  #anew(why: 'rules' | 'names'): Reset | null {
    if (why === 'names') return { kind: 'reset', reason: 'expired' }
    return this.#visible === null ? null : { kind: 'reset', reason: 'rules' }
  }

  #inSight(event: Happening): Happening | null {
    const seen = this.#sees(event.path, event.kind)
    if (event.from === undefined) return seen ? event : null
    const saw = this.#sees(event.from, event.kind)
    const { type } = event
    if (seen && saw) return event
    if (seen) return { kind: 'created', path: event.path, type }
    if (!saw) return null
    // What has taken its place came from where nothing is seen: another file is there now.
    return { kind: event.exchanged ? 'created' : 'deleted', path: event.from, type }
  }

  #sees(path: ByteString, kind: Happening['kind']): boolean {
    const isBelow = isAtOrBelow(path, this.#path)
    // With a directory above it everything that is watched comes, goes and moves.
    const concerns = isBelow || (kind !== 'modified' && kind !== 'attributes' && isAtOrBelow(this.#path, path))
    return concerns && (this.#visible === null || this.#visible(path))
  }

  #cursor(): Cursor {
    return formatCursor(this.#log.epoch, this.#position)
  }
}

function isAtOrBelow(path: ByteString, directory: ByteString): boolean {
  if (directory === '' || path === directory) return true
  return path.length > directory.length && path[directory.length] === '/' && path.startsWith(directory)
}
