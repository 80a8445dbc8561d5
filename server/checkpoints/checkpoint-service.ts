import type { MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import type { Store } from '../../fs-layer/store/store.ts'
import {
  CheckpointReason,
  type CheckpointSchema,
  type CheckpointService,
  type RollbackRequest,
  type RollbackResponseSchema,
} from '../../proto/index.ts'
import type { Handlers } from '../api/handlers.ts'
import type { Limits } from '../config/limits.ts'
import { invalid } from '../errors/croft-error.ts'
import { parseViewPath, pathBytes } from '../files/view-path.ts'
import type { CheckpointRecord, SandboxRecord } from '../records/record-types.ts'
import { foldSandbox } from '../snapshots/fold-sandbox.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import type { Checkpoints } from './checkpoints.ts'
import { type RevertedSandbox, type RevertSandboxDependencies, revertSandbox } from './revert-sandbox.ts'

export interface CheckpointServiceDependencies extends Omit<RevertSandboxDependencies, 'versionOf'> {
  readonly snapshots: Snapshots
  readonly store: Store
  readonly limits: Limits
}

export function checkpointService(parts: CheckpointServiceDependencies): Handlers<typeof CheckpointService> {
  const { sandboxes, snapshots, checkpoints, limits } = parts
  // Not ended with the call: what is half gone back is nothing.
  const toItsEnd = new AbortController().signal
  const versionOf = async (sandbox: SandboxRecord) => (await foldSandbox(sandbox, toItsEnd, parts)).hash
  const reverting = { ...parts, versionOf }
  return {
    listCheckpoints: async ({ sandboxId }) => ({
      checkpoints: checkpoints.list(sandboxes.get(sandboxId).id).map(checkpointMessage),
    }),

    rollback: async ({ sandboxId, to }) => {
      sandboxes.get(sandboxId)
      const back = (root: string) => revertSandbox(sandboxId, root, { reason: 'rollback' }, reverting)
      if (to.case !== 'snapshotId') return revertedMessage(await back(rootOf(sandboxId, to, checkpoints)))
      return snapshots.use(to.value, async ({ root }) => revertedMessage(await back(root)))
    },

    discardChanges: async ({ sandboxId, paths }) => {
      const { base } = sandboxes.get(sandboxId)
      if (paths.length > limits.maxDiscardPaths) throw invalid('paths', `are more than ${limits.maxDiscardPaths}`)
      const parsed = paths.map((path, index) => parseViewPath(path, `paths[${index}]`))
      const some = parsed.length === 0 ? {} : { paths: parsed }
      return revertedMessage(await revertSandbox(sandboxId, base, { reason: 'discard', ...some }, reverting))
    },
  }
}

function rootOf(sandboxId: string, to: RollbackRequest['to'], checkpoints: Checkpoints): string {
  if (to.case === 'checkpointId') return checkpoints.get(sandboxId, to.value, 'checkpoint_id').root
  throw invalid('checkpoint_id', 'is missing: name a checkpoint or a snapshot')
}

const REASONS = {
  command: CheckpointReason.COMMAND,
  rollback: CheckpointReason.ROLLBACK,
  discard: CheckpointReason.DISCARD,
} as const

function checkpointMessage(record: CheckpointRecord): MessageInitShape<typeof CheckpointSchema> {
  return {
    id: record.id,
    sandboxId: record.sandboxId,
    rootHash: Buffer.from(record.root, 'hex'),
    reason: REASONS[record.reason],
    command: record.command,
    createdAt: timestampFromMs(record.createdAtMs),
    size: BigInt(record.bytes),
    fileCount: BigInt(record.files),
  }
}

function revertedMessage(reverted: RevertedSandbox): MessageInitShape<typeof RollbackResponseSchema> {
  return {
    removed: BigInt(reverted.removed),
    restored: BigInt(reverted.restored),
    moved: BigInt(reverted.moved),
    kept: reverted.kept.map(pathBytes),
    before: checkpointMessage(reverted.before),
  }
}
