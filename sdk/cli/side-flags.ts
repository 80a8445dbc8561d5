import { type Command, InvalidArgumentError } from 'commander'
import type { CheckpointId } from '../checkpoints.ts'
import type { DiffSide } from '../diff.ts'
import type { SnapshotId } from '../snapshots.ts'

export interface SideFlags {
  readonly from?: DiffSide
  readonly to?: DiffSide
}

/** What `changes` and `diff` have in common: the two things to compare. */
export function withSideFlags(command: Command): Command {
  return command
    .option('--from <side>', 'base, live, origin or the id of a snapshot or checkpoint (default: base)', parseSide)
    .option('--to <side>', 'base, live, origin or the id of a snapshot or checkpoint (default: live)', parseSide)
}

export function sideOptions({ from, to }: SideFlags): SideFlags {
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) }
}

function parseSide(text: string): DiffSide {
  if (text === 'base' || text === 'live' || text === 'origin' || isId(text)) return text
  throw new InvalidArgumentError(
    `${JSON.stringify(text)} is none of base, live, origin and ids of snapshots and checkpoints`,
  )
}

function isId(text: string): text is SnapshotId | CheckpointId {
  return /^(?:snap|ckpt)_[0-9a-f]{16}$/.test(text)
}
