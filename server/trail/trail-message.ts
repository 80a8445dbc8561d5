import type { MessageInitShape } from '@bufbuild/protobuf'
import type { TrailEntry } from '../../fs-layer/index.ts'
import { TRAIL_COUNTS } from '../../fs-layer/view/trail-entry.ts'
import type { TrailEntrySchema, TrailEntry as WireEntry } from '../../proto/index.ts'
import { invalid } from '../errors/croft-error.ts'
import { parseViewPath, pathBytes } from '../files/view-path.ts'

export function trailMessage({
  path,
  isDirectory,
  isBelow,
  ...counts
}: TrailEntry): MessageInitShape<typeof TrailEntrySchema> {
  const wide = Object.fromEntries(TRAIL_COUNTS.map((name) => [name, BigInt(counts[name])]))
  return { ...wide, path: pathBytes(path), directory: isDirectory, below: isBelow }
}

/** Of a request; throws INVALID_ARGUMENT naming the entry. */
export function parseTrailEntry(entry: WireEntry, index: number): TrailEntry {
  const field = `entries[${index}]`
  const count = (name: (typeof TRAIL_COUNTS)[number]) => {
    if (entry[name] > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid(`${field}.${name}`, 'is too large')
    return Number(entry[name])
  }
  return {
    path: parseViewPath(entry.path, `${field}.path`),
    isDirectory: entry.directory,
    isBelow: entry.below,
    look: count('look'),
    list: count('list'),
    read: count('read'),
    write: count('write'),
    remove: count('remove'),
    move: count('move'),
    refusedView: count('refusedView'),
    refusedRead: count('refusedRead'),
    refusedWrite: count('refusedWrite'),
  }
}
