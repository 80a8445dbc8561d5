import type { TrailEntry } from '../../fs-layer/index.ts'
import { type Level, NONE, READ, VIEW, WRITE } from '../../fs-layer/policy/rule.ts'
import type { PathUse } from '../../fs-layer/policy/suggest/needs.ts'

/** What is on a trail as levels. What was refused is no use: the run went on without it. */
export function pathUse(entry: TrailEntry): PathUse {
  const level = levelOf(entry)
  const { path, isDirectory, isBelow } = entry
  if (isBelow) {
    return { path, isDirectory, level: NONE, levelBelow: level, unnamed: level > NONE, listed: false, passing: false }
  }
  return {
    path,
    isDirectory,
    level,
    levelBelow: entry.move > 0 ? WRITE : NONE,
    unnamed: false,
    listed: entry.list > 0,
    passing: entry.remove > 0,
  }
}

function levelOf({ look, list, read, write, remove, move }: TrailEntry): Level {
  if (write + remove + move > 0) return WRITE
  if (read > 0) return READ
  return look + list > 0 ? VIEW : NONE
}
