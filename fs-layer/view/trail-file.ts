import { readFileSync } from 'node:fs'
import { copyFile, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectory } from '../delta/make-directory.ts'
import type { Log } from '../protocol/log.ts'
import { noCounts, TRAIL_COUNTS, type TrailEntry } from './trail-entry.ts'

/** The form is written in docs/spec/trail.md. */
const VERSION = 1

/** The path, flags, and a count for each of `TRAIL_COUNTS`. */
type Row = readonly [path: string, flags: number, ...counts: number[]]

const IS_DIRECTORY = 1
const IS_BELOW = 2

/** What an earlier run left. One that cannot be read is logged, and the trail begins anew. */
export function loadTrail(deltaDir: string, log: Log): TrailEntry[] {
  try {
    return rowsOf(JSON.parse(readFileSync(fileOf(deltaDir), 'utf8'))).map(fromRow)
  } catch (error) {
    if (!isMissing(error)) log('warn', 'the access trail cannot be read and begins anew', { deltaDir, error })
    return []
  }
}

/** In pieces, between which the thread serves others: a full trail takes a good part of a second to write as a whole. */
export async function saveTrail(deltaDir: string, entries: Iterable<TrailEntry>): Promise<void> {
  const name = fileOf(deltaDir)
  const file = await open(`${name}.new`, 'w', 0o600)
  try {
    await file.appendFile(`{"version":${VERSION},"entries":[`)
    let rows: string[] = []
    let separator = ''
    const write = async () => {
      await file.appendFile(separator + rows.join(','))
      separator = ','
      rows = []
    }
    for (const entry of entries) {
      rows.push(JSON.stringify(toRow(entry)))
      if (rows.length >= ROWS_AT_ONCE) await write()
    }
    if (rows.length > 0) await write()
    await file.appendFile(']}')
  } finally {
    await file.close()
  }
  await rename(`${name}.new`, name)
}

/** For a delta that takes the place of another one; makes its directory. */
export async function copyTrail(fromDir: string, toDir: string): Promise<void> {
  makeDirectory(toDir)
  try {
    await copyFile(fileOf(fromDir), fileOf(toDir))
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}

const ROWS_AT_ONCE = 1_024

function fileOf(deltaDir: string): string {
  return join(deltaDir, 'trail.json')
}

function rowsOf(saved: unknown): Row[] {
  if (!isObject(saved) || saved['version'] !== VERSION || !Array.isArray(saved['entries'])) {
    throw new Error(`it is not of version ${VERSION}`)
  }
  return saved['entries'].map((row: unknown, index) => {
    if (!isRow(row)) throw new Error(`entry ${index} is damaged`)
    return row
  })
}

function isRow(row: unknown): row is Row {
  if (!Array.isArray(row) || row.length !== 2 + TRAIL_COUNTS.length) return false
  const [path, ...numbers] = row as unknown[]
  return typeof path === 'string' && numbers.every((number) => Number.isSafeInteger(number) && Number(number) >= 0)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function toRow(entry: TrailEntry): Row {
  const flags = (entry.isDirectory ? IS_DIRECTORY : 0) | (entry.isBelow ? IS_BELOW : 0)
  return [entry.path, flags, ...TRAIL_COUNTS.map((name) => entry[name])]
}

function fromRow([path, flags, ...counts]: Row): TrailEntry {
  const entry = { path, isDirectory: (flags & IS_DIRECTORY) !== 0, isBelow: (flags & IS_BELOW) !== 0, ...noCounts() }
  TRAIL_COUNTS.forEach((name, at) => {
    entry[name] = counts[at] ?? 0
  })
  return entry
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
