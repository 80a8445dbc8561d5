import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs'
import { join } from 'node:path'
import type { BatchHead, Tear } from '../leveldb/tear.ts'
import { findTear, logNames } from '../leveldb/tear.ts'
import { DeltaError, REMEDY } from './delta-error.ts'
import { decodeMeta, META_KEY } from './record.ts'

/**
 * Before the index is opened: what is in its logs becomes one state that once was. After a loss of power a log may lack
 * batches in its middle; those behind are cut off, for nobody was told that they are durable. Where somebody was, it is
 * not the power that took them, and nothing is changed.
 *
 * Returns what was cut off, for the log; null for nothing.
 *
 * @throws {DeltaError} `damaged`
 */
export function mendIndex(index: string): { log: string; offset: number; batches: number } | null {
  if (!existsSync(index)) return null
  checkCurrent(index)
  const tear = findTear(index)
  if (tear === null) return null
  const at = `${tear.log} is damaged at byte ${tear.offset}`
  if (lostDurable(tear)) {
    throw new DeltaError('damaged', `${at}: changes that were durable are lost there, later ones are not. ${REMEDY}`)
  }
  cutOff(index, tear)
  return { log: tear.log, offset: tear.offset, batches: tear.after.length }
}

/** LevelDB takes a directory without this file for a new database, whatever else is in it. */
function checkCurrent(index: string): void {
  if (existsSync(join(index, 'CURRENT'))) return
  const tables = readdirSync(index).some((name) => name.endsWith('.ldb'))
  const logs = logNames(index).some((name) => statSync(join(index, name)).size > 0)
  if (tables || logs) throw new DeltaError('damaged', `${join(index, 'CURRENT')} is gone. ${REMEDY}`)
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
