import type { ByteString } from '../../protocol/filesystem.ts'
import type { PathState } from '../path-state.ts'
import type { Policy } from '../policy.ts'
import { type Level, NONE, READ, VIEW } from '../rule.ts'
import { joinPath, type Place } from './place.ts'

/** Files that had a level and have a lower one. */
export interface Loss {
  /** The directory. */
  readonly path: ByteString
  /** All that was allowed in and below it; otherwise some of the files in it. */
  readonly whole: boolean
  readonly before: Level
  readonly after: Level
  readonly files: number
}

export interface Comparison {
  readonly losses: readonly Loss[]
  /** Files and directories that have a higher level than before. */
  readonly raised: readonly Raised[]
}

export interface Raised {
  readonly path: ByteString
  readonly directory: ByteString
  readonly name: ByteString
  readonly before: Level
  readonly after: Level
}

/** Between two policies, over all that a codebase has. `pause` is awaited now and then. */
export async function compare(
  root: Place,
  before: Policy,
  after: Policy,
  pause: () => Promise<void>,
): Promise<Comparison> {
  const raised: Raised[] = []
  let visited = 0
  const { rows } = await below(root, '', before.root, after.root)
  return { losses: rows, raised }

  async function below(directory: Place, path: ByteString, was: PathState, is: PathState): Promise<Below> {
    if (++visited % PAUSE_DIRECTORIES === 0) await pause()
    const here = new Map<string, Loss>()
    const deeper: Loss[] = []
    let kept = 0
    for (const place of directory.entries()) {
      const old = before.step(was, place.name)
      const now = after.step(is, place.name)
      const childPath = joinPath(path, place.name)
      if (now.level > old.level && !(place.isDirectory && isSame(old.level, now.level))) {
        raised.push({ path: childPath, name: place.name, directory: path, before: old.level, after: now.level })
      }
      if (place.isDirectory) {
        const found = await below(place, childPath, old, now)
        deeper.push(...found.rows)
        kept += found.kept
      } else if (now.level < old.level) count(here, path, old.level, now.level)
      else if (old.level > NONE) kept++
    }
    const rows = [...here.values(), ...deeper]
    return { rows: kept === 0 ? joined(path, rows) : rows, kept }
  }
}

interface Below {
  readonly rows: Loss[]
  /** Files that have their level still. */
  readonly kept: number
}

/** Of a directory: reading it takes no more than seeing it. */
function isSame(before: Level, after: Level): boolean {
  return before === VIEW && after === READ
}

const PAUSE_DIRECTORIES = 256

function count(rows: Map<string, Loss>, path: ByteString, before: Level, after: Level): void {
  const key = `${before} ${after}`
  const files = (rows.get(key)?.files ?? 0) + 1
  rows.set(key, { path, whole: false, before, after, files })
}

/** One row where all that was there is lost in one way. */
function joined(path: ByteString, rows: Loss[]): Loss[] {
  const [first] = rows
  if (first === undefined) return rows
  const { before, after } = first
  if (rows.some((row) => row.before !== before || row.after !== after)) return rows
  return [{ path, whole: true, before, after, files: rows.reduce((sum, { files }) => sum + files, 0) }]
}
