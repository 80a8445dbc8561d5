import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runToEnd } from '../child.ts'
import type { Project } from './project.ts'

/** Makes what the steps read from outside of the variants. */
export async function makeInputs(dir: string, project: Project, quick: boolean, signal: AbortSignal): Promise<void> {
  mkdirSync(dir)
  writeFileSync(join(dir, 'import-all.js'), IMPORT_ALL)
  writeFileSync(join(dir, 'rollback.sql'), transactions('DELETE', quick ? 10 : 50))
  writeFileSync(join(dir, 'wal.sql'), transactions('WAL', quick ? 50 : 500))
  if (project.directory !== undefined) {
    await runToEnd('tar', ['-cf', join(dir, 'package.tar'), project.directory], { signal, cwd: project.dir })
  }
}

/** A package that cannot be imported alone is no failure of the filesystem, but one of them must be. */
const IMPORT_ALL = `
const all = await Promise.allSettled(process.argv.slice(1).map((name) => import(name)))
if (all.every(({ status }) => status === 'rejected')) throw all[0].reason
`

/** Each on its own, as an application makes them. */
function transactions(journal: 'DELETE' | 'WAL', count: number): string {
  const inserts = Array.from({ length: count }, (_, at) => `INSERT INTO t VALUES (${at}, hex(randomblob(100)));`)
  const head = [`PRAGMA journal_mode=${journal};`, 'CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT);']
  const tail = ['SELECT count(*), sum(length(text)) FROM t;', 'UPDATE t SET text = upper(text) WHERE id % 3 = 0;']
  return ['.bail on', ...head, ...inserts, ...tail].join('\n')
}
