import type { ForkSandboxRequest } from '../../proto/index.ts'
import type { Limits } from '../config/limits.ts'
import { invalid } from '../errors/croft-error.ts'
import type { MadeBy } from '../records/once.ts'
import type { SandboxRecord } from '../records/record-types.ts'
import { parseLabels } from '../sandboxes/create-request.ts'
import type { Sandboxes } from '../sandboxes/sandboxes.ts'

/** Sandboxes with what one has now as their base; all of them, or none. */
export async function fork(
  request: ForkSandboxRequest,
  { sandboxes, versionOf, limits, madeBy }: Forking,
): Promise<SandboxRecord[]> {
  const source = sandboxes.get(request.sandboxId)
  const count = request.count === 0 ? 1 : request.count
  if (count < 0 || count > limits.maxForks) throw invalid('count', `must be from 1 to ${limits.maxForks}`)
  const labels = parseLabels(request.labels, limits)
  parseLabels({ ...source.labels, ...labels }, limits)

  const forks = await sandboxes.fork(source, await versionOf(source), count, labels, madeBy)
  if (!request.start) return forks
  const started = await Promise.allSettled(forks.map(({ id }) => sandboxes.start(id)))
  const failed = started.find((each) => each.status === 'rejected')
  if (failed === undefined) return forks.map(({ id }) => sandboxes.get(id))
  // The caller gets no ids, so nobody could ever destroy them.
  await Promise.all(forks.map(({ id }) => sandboxes.destroy(id)))
  throw failed.reason
}

export interface Forking {
  readonly sandboxes: Sandboxes
  readonly versionOf: (sandbox: SandboxRecord) => Promise<string>
  readonly limits: Limits
  readonly madeBy?: MadeBy | undefined
}
