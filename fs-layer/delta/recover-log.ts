import { readFileSync } from 'node:fs'
import { DeltaError, REMEDY } from './delta-error.ts'
import { logPath } from './log-file.ts'
import { type BegunRecord, LOG_BLOCK_BYTES, type LogRecord, recordAt, saltOf } from './log-record.ts'
import type { CutOff } from './mend-index.ts'
import { LastOfEachKey, type Operation } from './operations.ts'
import type { Meta } from './record.ts'

export interface LoggedChanges {
  /** In order, each key once: over the index they make the state that was the last one synced. */
  readonly operations: readonly Operation[]
  /** Of the last of them. */
  readonly batch: number
  /** A record that was under way when it all ended, or the last one is damaged: of an end nobody can tell which. */
  readonly cutOff: Omit<CutOff, 'log'> | null
}

/**
 * What the log of syncs has that the index does not. Records whose batch the index has are old, wherever they are; the
 * others must follow that batch and each other without a gap.
 *
 * @throws {DeltaError} `damaged`
 */
export function recoverLog(deltaDir: string, { log: name, batch }: Meta): LoggedChanges {
  if (name === '') return { operations: [], batch, cutOff: null }
  const path = logPath(deltaDir)
  const { bytes, salt } = readLog(path, name)
  let last = batch
  let cutOff: LoggedChanges['cutOff'] = null
  const changes = new LastOfEachKey()
  for (const { at, record } of recordsIn(bytes, salt)) {
    if (record.batch <= batch) continue
    if (record.operations === null) {
      cutOff ??= { offset: at, batches: 1, lastBatch: record.batch }
      continue
    }
    if (record.before > last) throw damaged(path, `a sync is lost that a later one at byte ${at} followed`)
    for (const operation of record.operations) changes.add(operation)
    last = record.batch
  }
  return { operations: changes.operations, batch: last, cutOff }
}

function readLog(path: string, name: string): { bytes: Buffer; salt: Buffer } {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw damaged(path, 'it is gone')
    throw error
  }
  const salt = saltOf(bytes)
  if (salt === null) throw damaged(path, 'it does not begin as it was written, or ends elsewhere')
  if (salt.toString('hex') !== name) throw damaged(path, 'it belongs to another state of the sandbox')
  return { bytes, salt }
}

function* recordsIn(log: Buffer, salt: Buffer): Generator<{ at: number; record: LogRecord | BegunRecord }> {
  for (let at = LOG_BLOCK_BYTES; at < log.length; ) {
    const record = recordAt(log, at, salt)
    if (record !== null) yield { at, record }
    at = record?.end ?? at + LOG_BLOCK_BYTES
  }
}

function damaged(path: string, reason: string): DeltaError {
  return new DeltaError('damaged', `${path} is damaged: ${reason}. ${REMEDY}`)
}
