import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CommandError, runToEnd } from '../child.ts'
import { type Bench, isChosen } from '../suite.ts'
import type { Project } from './project.ts'
import { INSTALL } from './steps.ts'

export interface Inputs {
  /** There is a cache of npm's with all that the project's lock file names. */
  readonly hasNpmCache: boolean
}

/** Makes what the steps read from outside of the variants. */
export async function makeInputs(dir: string, project: Project, bench: Bench): Promise<Inputs> {
  const { quick, signal } = bench
  mkdirSync(dir)
  writeFileSync(join(dir, 'import-all.js'), IMPORT_ALL)
  writeFileSync(join(dir, 'rollback.sql'), transactions('DELETE', quick ? 10 : 50))
  writeFileSync(join(dir, 'wal.sql'), transactions('WAL', quick ? 50 : 500))
  if (project.directory !== undefined) {
    await runToEnd('tar', ['-cf', join(dir, 'package.tar'), project.directory], { signal, cwd: project.dir })
  }
  return { hasNpmCache: isChosen(INSTALL, bench.steps) && (await fillNpmCache(dir, project, bench)) }
}

/** From the network, once. False where there is no lock file, or no network. */
async function fillNpmCache(dir: string, project: Project, { signal, progress }: Bench): Promise<boolean> {
  if (!existsSync(join(project.dir, 'package-lock.json'))) return false
  progress.show('filling a cache for npm')
  const cwd = join(dir, 'npm')
  mkdirSync(cwd)
  for (const name of ['package.json', 'package-lock.json']) copyFileSync(join(project.dir, name), join(cwd, name))
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--silent']
  try {
    await runToEnd('npm', ['ci', ...options, '--cache', join(dir, 'npm-cache')], { signal, cwd })
    return true
  } catch (error) {
    if (error instanceof CommandError) return false
    throw error
  } finally {
    rmSync(cwd, { recursive: true, force: true })
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
