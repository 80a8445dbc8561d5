import type { ByteString } from '../../fs-layer/protocol/filesystem.ts'
import type { Hash } from '../../fs-layer/store/objects.ts'
import type { Serial } from '../concurrency/serial.ts'
import type { CheckpointRecord, SandboxRecord } from '../records/record-types.ts'
import type { Sandboxes } from '../sandboxes/sandboxes.ts'
import type { Views } from '../sandboxes/views.ts'
import type { CheckpointCause, Checkpoints } from './checkpoints.ts'

export interface RevertSandboxDependencies {
  readonly sandboxes: Sandboxes
  readonly views: Views
  readonly checkpoints: Checkpoints
  readonly serial: Serial
  /** What a sandbox is now. */
  readonly versionOf: (sandbox: SandboxRecord) => Promise<Hash>
}

export interface RevertedSandbox {
  readonly removed: number
  readonly restored: number
  readonly moved: number
  /** The first of them. */
  readonly kept: readonly ByteString[]
  /** What it was before. */
  readonly before: CheckpointRecord
}

const KEPT_TOLD_MAX = 1000

/**
 * Makes a sandbox, whether it runs or not, what a version is. In turn with what else becomes of it; and gone through to
 * its end, whether its caller still waits or not. What it was is a checkpoint first.
 */
export function revertSandbox(
  id: string,
  to: Hash,
  { reason, paths }: { readonly reason: CheckpointCause['reason']; readonly paths?: readonly ByteString[] | undefined },
  { sandboxes, views, checkpoints, serial, versionOf }: RevertSandboxDependencies,
): Promise<RevertedSandbox> {
  return serial.run(id, async () => {
    const sandbox = sandboxes.get(id)
    const lease = await views.lease(sandbox)
    try {
      const counts = { moved: 0, removed: 0, restored: 0, kept: 0 }
      const kept: ByteString[] = []
      const revert = async (from: Hash, movesOnly: boolean) => {
        for await (const done of lease.view.revert({ from, to, paths, movesOnly })) {
          for (const { what, path } of done) {
            counts[what]++
            if (what === 'kept' && kept.length < KEPT_TOLD_MAX) kept.push(path)
          }
        }
      }
      const before = await checkpoints.make(sandbox, { reason, command: '' })
      await revert(before.root, true)
      await revert(counts.moved > 0 ? await versionOf(sandbox) : before.root, false)
      await lease.view.sync()
      return { ...counts, kept, before }
    } finally {
      lease.release()
    }
  })
}
