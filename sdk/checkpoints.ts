import {
  CheckpointReason,
  CheckpointService,
  type RollbackResponse,
  type Checkpoint as WireCheckpoint,
} from '../proto/index.ts'
import type { Connection } from './client/connection.ts'
import { dateFrom } from './durations.ts'
import { InvalidArgumentError } from './errors.ts'

export type CheckpointId = `ckpt_${string}`

/** What a sandbox was before something changed it. The oldest are dropped when there are many. */
export interface Checkpoint {
  readonly id: CheckpointId
  readonly sandboxId: string
  /** SHA-256 of its root, in hex. */
  readonly rootHash: string
  /** What it was made before. */
  readonly reason: 'command' | 'rollback' | 'discard'
  /** The beginning of that command; empty otherwise. */
  readonly command: string
  readonly createdAt?: Date
  /** Bytes of all files. */
  readonly sizeBytes: number
  /** Files and links. */
  readonly files: number
}

/** What going back did, in paths. */
export interface RollbackResult {
  readonly removed: number
  readonly restored: number
  /** Brought back from where they had been moved to. */
  readonly moved: number
  /** What could not be made what it was, for something else has come there meanwhile. The first thousand. */
  readonly kept: readonly string[]
  /** What the sandbox was until now: the way back. */
  readonly before: Checkpoint
}

/** Their time goes with what is different. */
const NO_DEADLINE = { deadlineMs: null }

export async function listCheckpoints(connection: Connection, sandboxId: string): Promise<Checkpoint[]> {
  const { checkpoints } = await connection.unary(CheckpointService.method.listCheckpoints, { sandboxId })
  return checkpoints.map(checkpointFromWire)
}

export async function rollBack(connection: Connection, sandboxId: string, id: string): Promise<RollbackResult> {
  const request = { sandboxId, to: targetOf(id) }
  return resultFromWire(await connection.unary(CheckpointService.method.rollback, request, NO_DEADLINE))
}

export async function discardChanges(
  connection: Connection,
  sandboxId: string,
  paths: readonly string[],
): Promise<RollbackResult> {
  const request = { sandboxId, paths: paths.map((path) => Buffer.from(path)) }
  return resultFromWire(await connection.unary(CheckpointService.method.discardChanges, request, NO_DEADLINE))
}

function targetOf(id: string) {
  if (id.startsWith('ckpt_')) return { case: 'checkpointId', value: id } as const
  if (id.startsWith('snap_')) return { case: 'snapshotId', value: id } as const
  throw new InvalidArgumentError(`id is ${JSON.stringify(id)}; it must be that of a checkpoint or a snapshot`, 'id')
}

function resultFromWire({ removed, restored, moved, kept, before }: RollbackResponse): RollbackResult {
  if (before === undefined) throw new TypeError('an answer without the checkpoint')
  return {
    removed: Number(removed),
    restored: Number(restored),
    moved: Number(moved),
    kept: kept.map((path) => Buffer.from(path).toString()),
    before: checkpointFromWire(before),
  }
}

const REASONS: Readonly<Record<CheckpointReason, Checkpoint['reason']>> = {
  [CheckpointReason.UNSPECIFIED]: 'command',
  [CheckpointReason.COMMAND]: 'command',
  [CheckpointReason.ROLLBACK]: 'rollback',
  [CheckpointReason.DISCARD]: 'discard',
}

function checkpointFromWire(checkpoint: WireCheckpoint): Checkpoint {
  const createdAt = dateFrom(checkpoint.createdAt)
  return {
    id: checkpoint.id as CheckpointId,
    sandboxId: checkpoint.sandboxId,
    rootHash: Buffer.from(checkpoint.rootHash).toString('hex'),
    reason: REASONS[checkpoint.reason],
    command: checkpoint.command,
    sizeBytes: Number(checkpoint.size),
    files: Number(checkpoint.fileCount),
    ...(createdAt === undefined ? {} : { createdAt }),
  }
}
