import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { logNames } from './tear.ts'

/** LevelDB takes a directory without the file CURRENT for a new database, whatever else is in it. */
export function hasLostCurrent(dir: string): boolean {
  if (existsSync(join(dir, 'CURRENT'))) return false
  const hasTables = readdirSync(dir).some((name) => name.endsWith('.ldb'))
  return hasTables || logNames(dir).some((name) => statSync(join(dir, name)).size > 0)
}
