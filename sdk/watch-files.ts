import { FileEventKind, FileEventReset, FileService, type FileEvent as WireEvent } from '../proto/index.ts'
import { type AsOption, principalOf } from './as.ts'
import type { Connection } from './client/connection.ts'
import { RECONNECT_MS, Reconnect } from './client/reconnect.ts'
import { type EntryKind, kindFromWire } from './entry-kind.ts'
import { pathToWire, type ReadPath, textOf, type ViewPath } from './view-path.ts'

export interface WatchFilesOptions extends AsOption {
  /** Of the last event that was dealt with: goes on after it. Default: begins now. */
  readonly cursor?: string
  /** How long to look for a server that is gone before the watch fails, in milliseconds. Default 30,000. */
  readonly reconnectMs?: number
}

export type FileEvent = FileChange | FileReset

/** What became of a path. */
export interface FileChange extends ReadPath {
  /** `attributes`: mode, owner, times or extended attributes. */
  readonly kind: 'created' | 'modified' | 'deleted' | 'renamed' | 'attributes'
  /** Where it was, for `renamed`; what stood at `path` is gone. */
  readonly from?: string
  readonly rawFrom?: Uint8Array
  /** For `renamed`: the two changed places. */
  readonly exchanged?: boolean
  readonly type: EntryKind
  /** Goes on after this event. */
  readonly cursor: string
}

/** Look at everything anew: what happened before is not told. The first event where no cursor was given. */
export interface FileReset {
  readonly kind: 'reset'
  /**
   * `begin`: here the watch begins. `expired`: too much has happened since the cursor, or to too many names of a file.
   * `renewed`: the server has opened the view anew since. `rules`: other rules are in force.
   */
  readonly reason: 'begin' | 'expired' | 'renewed' | 'rules'
  readonly cursor: string
}

export async function* watchFiles(
  connection: Connection,
  sandboxId: string,
  path: ViewPath,
  { cursor: from = '', reconnectMs = RECONNECT_MS, as, signal }: WatchFilesOptions,
): AsyncGenerator<FileEvent, void, undefined> {
  const request = { sandboxId, path: pathToWire(path), principal: principalOf(as) }
  let cursor = from
  const reconnect = new Reconnect(reconnectMs)
  for (;;) {
    try {
      const call = connection.serverStream(FileService.method.watchFiles, { ...request, cursor }, { signal })
      for await (const { events } of call) {
        reconnect.found()
        for (const event of events) {
          cursor = event.cursor
          yield eventFromWire(event)
        }
      }
    } catch (error) {
      // Where nothing was ever told there is nowhere to go on.
      if (cursor === '') throw error
      reconnect.check(error)
    }
    await reconnect.pause(signal)
  }
}

const KINDS: Record<FileEventKind, FileChange['kind']> = {
  [FileEventKind.UNSPECIFIED]: 'modified',
  [FileEventKind.CREATED]: 'created',
  [FileEventKind.MODIFIED]: 'modified',
  [FileEventKind.DELETED]: 'deleted',
  [FileEventKind.RENAMED]: 'renamed',
  [FileEventKind.ATTRIBUTES]: 'attributes',
  [FileEventKind.RESET]: 'modified',
}

const REASONS: Record<FileEventReset, FileReset['reason']> = {
  [FileEventReset.UNSPECIFIED]: 'renewed',
  [FileEventReset.BEGIN]: 'begin',
  [FileEventReset.EXPIRED]: 'expired',
  [FileEventReset.RENEWED]: 'renewed',
  [FileEventReset.RULES]: 'rules',
}

function eventFromWire(event: WireEvent): FileEvent {
  const { cursor } = event
  if (event.kind === FileEventKind.RESET) return { kind: 'reset', reason: REASONS[event.reset], cursor }
  const kind = KINDS[event.kind]
  return {
    kind,
    path: textOf(event.path),
    rawPath: event.path,
    ...(kind === 'renamed' ? { from: textOf(event.from), rawFrom: event.from, exchanged: event.exchanged } : {}),
    type: kindFromWire(event.fileKind),
    cursor,
  }
}
