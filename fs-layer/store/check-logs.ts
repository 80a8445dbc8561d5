import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { hasLostCurrent } from '../leveldb/current.ts'
import { findTear } from '../leveldb/tear.ts'
import { StoreError } from './store-error.ts'

/** Of Linux. */
const LOCKS = '/proc/locks'
const REMEDY = 'Nothing was changed; restore the store from a backup'

/**
 * Before the database is opened: LevelDB's recovery would pass over what is damaged in its logs. All batches of a store
 * are synced before they are acknowledged, so of a log that is whole but for its end nothing is lost, and where a batch
 * is missing before others it was lost after it had been acknowledged.
 *
 * @throws {StoreError} `corrupt`
 */
export function checkLogs(database: string): void {
  // Whoever has it open is writing to it now; opening it says so.
  if (!existsSync(database) || isLocked(join(database, 'LOCK'))) return
  if (hasLostCurrent(database)) throw new StoreError('corrupt', `${join(database, 'CURRENT')} is gone. ${REMEDY}`)
  const tear = findTear(database)
  if (tear === null) return
  const place = `${tear.log} is damaged at byte ${tear.offset}`
  throw new StoreError('corrupt', `${place}: objects that were stored are lost there, later ones are not. ${REMEDY}`)
}

/** By the kernel's list of locks, fcntl(2): one asks for no lock to know, and takes none away. */
function isLocked(path: string): boolean {
  if (!existsSync(path) || !existsSync(LOCKS)) return false
  const { ino } = statSync(path)
  return readFileSync(LOCKS, 'utf8')
    .split('\n')
    .some((line) => line.includes(`:${ino} `))
}
