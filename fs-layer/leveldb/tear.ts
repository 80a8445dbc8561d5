import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type LogRecord, logRecords, nextOffset } from './log-records.ts'
import { readManifest } from './manifest.ts'
import { Cursor } from './varint.ts'

/** The first change of a batch: enough to know it by. */
export interface BatchHead {
  readonly key: Buffer
  /** Null for a deletion. */
  readonly value: Buffer | null
}

/** A place in a database's logs from where on something is lost though later batches are there. */
export interface Tear {
  readonly log: string
  /** Up to here all is whole. */
  readonly offset: number
  /** The last batch before it that is in a log. */
  readonly before: BatchHead | null
  /** What LevelDB would take as if nothing were missing. */
  readonly after: readonly BatchHead[]
  /** Further logs with what comes after. */
  readonly laterLogs: readonly string[]
}

/**
 * Looks for a tear before a database is opened, because LevelDB's recovery passes over what is bad in a log and goes on
 * behind it: two batches with one missing between them are a state that never was. A log that merely ends too early is
 * none, there recovery keeps what is whole.
 */
export function findTear(dir: string): Tear | null {
  const manifest = readManifest(dir)
  if (manifest === null) return null
  const logs = logNames(dir).filter((name) => numberOf(name) >= manifest.logNumber)
  /** Where the next record should be: in the last log that had one, right behind it. */
  let [log, offset] = [join(dir, logs[0] ?? ''), 0]
  let before: BatchHead | null = null
  let sequence = manifest.lastSequence + 1
  const after: BatchHead[] = []
  for (const name of logs) {
    const path = join(dir, name)
    let expected = 0
    let isFirst = true
    for (const record of logRecords(readFileSync(path))) {
      const batch = decodeBatch(record)
      const follows =
        after.length === 0 &&
        record.offset === expected &&
        // A manifest may be younger than the first batches of the log.
        (before === null ? batch.sequence <= sequence : batch.sequence === sequence) &&
        !(isFirst && before === null && name !== logs[0])
      isFirst = false
      if (!follows) {
        after.push(batch.head)
        continue
      }
      before = batch.head
      sequence = batch.sequence + batch.count
      log = path
      offset = record.end
      expected = nextOffset(record.end)
    }
  }
  if (after.length === 0) return null
  const later = logs.map((name) => join(dir, name)).slice(logs.indexOf(log.slice(dir.length + 1)) + 1)
  return { log, offset, before, after, laterLogs: later }
}

/** In the order in which they were begun. */
export function logNames(dir: string): string[] {
  const names = readdirSync(dir).filter((name) => /^\d+\.log$/.test(name))
  return names.sort((one, other) => numberOf(one) - numberOf(other))
}

function numberOf(name: string): number {
  return Number.parseInt(name, 10)
}

const DELETION = 0

function decodeBatch({ bytes }: LogRecord): { sequence: number; count: number; head: BatchHead } {
  const cursor = new Cursor(bytes)
  const [sequence, count] = [cursor.uint64(), cursor.uint32()]
  if (count === 0) return { sequence, count, head: { key: Buffer.alloc(0), value: null } }
  const isDeletion = cursor.byte() === DELETION
  return { sequence, count, head: { key: cursor.string(), value: isDeletion ? null : cursor.string() } }
}
