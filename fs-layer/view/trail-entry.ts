import { type Level, READ, VIEW } from '../policy/rule.ts'
import type { ByteString } from '../protocol/filesystem.ts'

/** How often something was done with a path. */
export interface TrailCounts {
  /** Its existence or attributes were looked at. */
  look: number
  /** Of a directory: its names. */
  list: number
  /** Of a file its contents, of a link its target. */
  read: number
  /** It was made or changed. */
  write: number
  /** It was removed or moved away. */
  remove: number
  /** Of a directory: it was moved from here or to here, with all in it. */
  move: number
  /** Refused, by the level that it would have needed. */
  refusedView: number
  refusedRead: number
  refusedWrite: number
}

/** What became known of one path. */
export interface TrailEntry extends TrailCounts {
  readonly path: ByteString
  readonly isDirectory: boolean
  /** Counts of all paths below it that there was no room for, not of itself. */
  readonly isBelow: boolean
}

export const TRAIL_COUNTS = [
  'look',
  'list',
  'read',
  'write',
  'remove',
  'move',
  'refusedView',
  'refusedRead',
  'refusedWrite',
] as const satisfies readonly (keyof TrailCounts)[]

export function noCounts(): TrailCounts {
  return { look: 0, list: 0, read: 0, write: 0, remove: 0, move: 0, refusedView: 0, refusedRead: 0, refusedWrite: 0 }
}

export function refusalOf(needed: Level): 'refusedView' | 'refusedRead' | 'refusedWrite' {
  if (needed <= VIEW) return 'refusedView'
  return needed === READ ? 'refusedRead' : 'refusedWrite'
}
