import { closeSync, existsSync, fdatasyncSync, fsyncSync, ftruncateSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { hasLostCurrent } from '../leveldb/current.ts'
import { damagedTable } from '../leveldb/damaged-table.ts'
import { type BatchHead, findTear, type Tear } from '../leveldb/tear.ts'
import { DeltaError, REMEDY } from './delta-error.ts'
import { decodeMeta, META_KEY } from './record.ts'

/** Where a log ends now, and how many batches behind that are gone. */
export interface CutOff {
  readonly log: string
  readonly offset: number
  readonly batches: number
  /** The number of the last of them, 0 where they have none. */
  readonly lastBatch: number
}

/**
 * Before the index is opened: what is in its logs becomes one state that once was. After a loss of power a log may lack
 * batches in its middle; those behind are cut off, for nobody was told that they are durable. Where somebody was, it is
 * not the power that took them, and nothing is changed.
 *
 * Returns what was cut off, for the log; null for nothing.
 *
 * @throws {DeltaError} `damaged`
 */
export function mendIndex(index: string): CutOff | null {
  if (!existsSync(index)) return null
  if (hasLostCurrent(index)) throw new DeltaError('damaged', `${join(index, 'CURRENT')} is gone. ${REMEDY}`)
  const table = damagedTable(index)
  if (table !== null) throw new DeltaError('damaged', `${table.path} is damaged: ${table.reason}. ${REMEDY}`)
  const tear = findTear(index)
  if (tear === null) return null
  const at = `${tear.log} is damaged at byte ${tear.offset}`
  if (lostDurable(tear)) {
    throw new DeltaError('damaged', `${at}: changes that were durable are lost there, later ones are not. ${REMEDY}`)
  }
  cutOff(index, tear)
  const lastBatch = Math.max(0, ...tear.after.map((head) => metaOf(head)?.batch ?? 0))
  return { log: tear.log, offset: tear.offset, batches: tear.after.length, lastBatch }
}

function lostDurable({ before, after }: Tear): boolean {
  const last = before === null ? null : metaOf(before)
  return after.some((head) => {
    const meta = metaOf(head)
    // Of batches without numbers, and where the first one of all logs is lost, nobody knows.
    return meta === null || last === null || meta.batch === 0 || last.batch === 0 || meta.synced > last.batch
  })
}

function metaOf({ key, value }: BatchHead): { batch: number; synced: number } | null {
  return value !== null && key.equals(META_KEY) ? decodeMeta(value) : null
}

/** The last log first, so that a crash meanwhile leaves a tear with less behind it. */
function cutOff(index: string, { log, offset, laterLogs }: Tear): void {
  for (const later of [...laterLogs].reverse()) rmSync(later)
  const fd = openSync(log, 'r+')
  try {
    ftruncateSync(fd, offset)
    fdatasyncSync(fd)
  } finally {
    closeSync(fd)
  }
  const directory = openSync(index, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}
