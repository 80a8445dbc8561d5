import { type Folded, fold } from '../../fs-layer/store/fold.ts'
import type { Store } from '../../fs-layer/store/store.ts'
import type { Limits } from '../config/limits.ts'
import type { SandboxRecord } from '../records/record-types.ts'
import type { Views } from '../sandboxes/views.ts'

export interface FoldSandboxDependencies {
  readonly views: Views
  readonly store: Store
  readonly limits: Limits
}

/** What a sandbox shows its owner now, in the store. No root name keeps it yet. */
export async function foldSandbox(
  sandbox: SandboxRecord,
  signal: AbortSignal,
  { views, store, limits }: FoldSandboxDependencies,
): Promise<Folded> {
  const lease = await views.lease(sandbox)
  try {
    return await fold(store, sandbox.base, lease.view.cut(), { maxFileBytes: limits.maxUploadBytes, signal })
  } finally {
    lease.release()
  }
}
