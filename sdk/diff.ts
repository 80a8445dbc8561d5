import type { MessageInitShape } from '@bufbuild/protobuf'
import { type DiffQuerySchema, DiffService, type DiffSideSchema } from '../proto/index.ts'
import { type AsOption, principalOf } from './as.ts'
import { type Change, changeFromWire, type DetailedChange, detailedFromWire } from './changes.ts'
import type { CheckpointId } from './checkpoints.ts'
import type { Connection } from './client/connection.ts'
import { InvalidArgumentError } from './errors.ts'
import type { SnapshotId } from './snapshots.ts'

/**
 * What the sandbox is based on, what it is now, the version of the codebase that it began with (a fork: that what it was
 * forked from did), or a snapshot or checkpoint by its id.
 */
export type DiffSide = 'base' | 'live' | 'origin' | SnapshotId | CheckpointId

export interface DiffOptions extends AsOption {
  /** Default `base`. */
  readonly from?: DiffSide
  /** Default `live`. */
  readonly to?: DiffSide
}

export async function listDifferences(
  connection: Connection,
  sandboxId: string,
  options: DiffOptions,
): Promise<Change[]> {
  const changes: Change[] = []
  const request = { query: queryToWire(sandboxId, options) }
  for await (const batch of connection.serverStream(DiffService.method.listDifferences, request, options)) {
    for (const change of batch.changes) changes.push(changeFromWire(change))
  }
  return changes
}

/** With what it takes to make them elsewhere: what moved is deleted and created. */
export async function listApplicable(
  connection: Connection,
  sandboxId: string,
  options: DiffOptions,
): Promise<DetailedChange[]> {
  const changes: DetailedChange[] = []
  const request = { query: { ...queryToWire(sandboxId, options), withoutMoves: true } }
  for await (const batch of connection.serverStream(DiffService.method.listDifferences, request, options)) {
    changes.push(...batch.changes.map(detailedFromWire))
  }
  return changes
}

/** In pieces, read no faster than they are taken. */
export async function* patchStream(
  connection: Connection,
  sandboxId: string,
  options: DiffOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const request = { query: queryToWire(sandboxId, options) }
  for await (const { data } of connection.serverStream(DiffService.method.getPatch, request, options)) yield data
}

function queryToWire(sandboxId: string, { from, to, as }: DiffOptions): MessageInitShape<typeof DiffQuerySchema> {
  return {
    sandboxId,
    principal: principalOf(as),
    from: sideToWire(from ?? 'base', 'from'),
    to: sideToWire(to ?? 'live', 'to'),
  }
}

export function sideToWire(side: DiffSide, option: 'from' | 'to' | 'since'): MessageInitShape<typeof DiffSideSchema> {
  if (side === 'base' || side === 'live' || side === 'origin') return { side: { case: side, value: {} } }
  if (typeof side === 'string' && side.startsWith('snap_')) return { side: { case: 'snapshotId', value: side } }
  if (typeof side === 'string' && side.startsWith('ckpt_')) return { side: { case: 'checkpointId', value: side } }
  const text = `${option} is ${JSON.stringify(side)}; it must be base, live, origin or the id of a snapshot or checkpoint`
  throw new InvalidArgumentError(text, option)
}
