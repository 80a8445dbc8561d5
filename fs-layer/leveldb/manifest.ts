import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { logRecords } from './log-records.ts'
import { Cursor } from './varint.ts'

/** What of a database is in force, as its manifest says (LevelDB, db/version_edit.cc). */
export interface Manifest {
  /** Logs from this number on are replayed when it is opened. */
  readonly logNumber: number
  /** Of the last change that was known when the manifest was written. */
  readonly lastSequence: number
  /** Numbers of the tables that hold data. */
  readonly tables: ReadonlySet<number>
}

const COMPARATOR = 1
const LOG_NUMBER = 2
const NEXT_FILE = 3
const LAST_SEQUENCE = 4
const COMPACT_POINTER = 5
const DELETED_FILE = 6
const NEW_FILE = 7
const PREVIOUS_LOG = 9

/** Null where there is none, or none that can be read: LevelDB says then what is wrong when it is opened. */
export function readManifest(dir: string): Manifest | null {
  const current = join(dir, 'CURRENT')
  if (!existsSync(current)) return null
  const path = join(dir, readFileSync(current, 'utf8').trimEnd())
  if (!existsSync(path)) return null
  const state = { logNumber: 0, lastSequence: 0, tables: new Set<number>() }
  for (const { bytes } of logRecords(readFileSync(path))) applyEdit(state, new Cursor(bytes))
  return state
}

function applyEdit(state: { logNumber: number; lastSequence: number; tables: Set<number> }, edit: Cursor): void {
  while (!edit.atEnd) {
    const tag = edit.varint()
    if (tag === COMPARATOR) edit.string()
    else if (tag === LOG_NUMBER) state.logNumber = edit.varint()
    else if (tag === LAST_SEQUENCE) state.lastSequence = edit.varint()
    else if (tag === NEXT_FILE || tag === PREVIOUS_LOG) edit.varint()
    else if (tag === COMPACT_POINTER) {
      edit.varint()
      edit.string()
    } else if (tag === DELETED_FILE) {
      edit.varint()
      state.tables.delete(edit.varint())
    } else if (tag === NEW_FILE) {
      edit.varint()
      state.tables.add(edit.varint())
      edit.varint()
      edit.string()
      edit.string()
    } else throw new RangeError(`a manifest with the unknown tag ${tag}`)
  }
}
