import type { ByteString } from '../protocol/filesystem.ts'
import type { NodeInfo } from './node-info.ts'

/** Something that became of a name, or why whoever watches has to look at everything anew. */
export type FileEvent = (Happening | Reset) & {
  /** Where to go on: whatever comes after this event. */
  readonly cursor: Cursor
}

/** The epoch of a view that is open, and a position in it: see `formatCursor`. */
export type Cursor = string

export interface Happening {
  readonly kind: HappeningKind
  readonly path: ByteString
  /** Of `renamed`: where it was. */
  readonly from?: ByteString
  /** Of `renamed`: what was at `path` is at `from` now. */
  readonly exchanged?: boolean
  readonly type: NodeInfo['kind']
}

/** `attributes`: mode, owner, times or extended attributes. */
export type HappeningKind = 'created' | 'modified' | 'deleted' | 'renamed' | 'attributes'

export interface Reset {
  readonly kind: 'reset'
  readonly reason: ResetReason
}

/**
 * `begin`: no cursor was given. `expired`: what follows the cursor is not kept, or not any more. `renewed`: the view was
 * opened anew since. `rules`: other rules are in force, so that names may have come into sight or gone out of it.
 */
export type ResetReason = 'begin' | 'expired' | 'renewed' | 'rules'

/** As in the cursors that clients keep: 16 hex digits, a dot, and the number of the next event. */
const CURSOR = /^([0-9a-f]{16})\.(\d{1,15})$/

export function formatCursor(epoch: string, position: number): Cursor {
  return `${epoch}.${position}`
}

export function parseCursor(cursor: Cursor): { epoch: string; position: number } | null {
  const [, epoch, position] = CURSOR.exec(cursor) ?? []
  return epoch === undefined ? null : { epoch, position: Number(position) }
}
