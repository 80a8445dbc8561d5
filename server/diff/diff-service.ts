import { changesBetween, type DiffOptions } from '../../fs-layer/diff/changes-between.ts'
import { patchOf } from '../../fs-layer/diff/patch.ts'
import { compilePolicy } from '../../fs-layer/policy/policy.ts'
import { READ, VIEW } from '../../fs-layer/policy/rule.ts'
import type { Hash } from '../../fs-layer/store/objects.ts'
import type { Store } from '../../fs-layer/store/store.ts'
import type { DiffQuery, DiffService, DiffSide } from '../../proto/index.ts'
import type { Handlers } from '../api/handlers.ts'
import type { Checkpoints } from '../checkpoints/checkpoints.ts'
import { invalid } from '../errors/croft-error.ts'
import { parsePrincipal } from '../files/file-entry.ts'
import { originOf } from '../records/origin.ts'
import type { SandboxRecord } from '../records/record-types.ts'
import type { Sandboxes } from '../sandboxes/sandboxes.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import { treeChangeMessage } from './tree-change-message.ts'

export interface DiffServiceDependencies {
  readonly sandboxes: Sandboxes
  readonly snapshots: Snapshots
  readonly checkpoints: Checkpoints
  readonly store: Store
  /** What a sandbox is now. */
  readonly versionOf: (sandbox: SandboxRecord, signal: AbortSignal) => Promise<Hash>
}

/** Differences in one message. */
const CHANGES_AT_ONCE = 512

export function diffService(parts: DiffServiceDependencies): Handlers<typeof DiffService> {
  const { store } = parts
  return {
    async *listDifferences({ query }, { signal }) {
      const { from, to, levelOf } = await parse(query, signal, parts)
      const hidden = levelOf && {
        isSeen: (path: string) => levelOf(path) >= VIEW,
        isRead: (path: string) => levelOf(path) >= READ,
      }
      const moves = query?.withoutMoves !== true
      const changes = await changesBetween(store, from, to, { ...hidden, moves, signal })
      const isRead = hidden?.isRead ?? (() => true)
      for (let at = 0; at < changes.length; at += CHANGES_AT_ONCE) {
        yield { changes: changes.slice(at, at + CHANGES_AT_ONCE).map((change) => treeChangeMessage(change, isRead)) }
      }
    },

    async *getPatch({ query }, { signal }) {
      const { from, to, levelOf } = await parse(query, signal, parts)
      // What cannot be read is not there: a patch is contents.
      const options: DiffOptions = { signal, isSeen: levelOf && ((path) => levelOf(path) >= READ) }
      const changes = await changesBetween(store, from, to, options)
      for await (const data of patchOf(store, changes, signal)) yield { data }
    },
  }
}

/** `levelOf` is absent for the owner. */
async function parse(query: DiffQuery | undefined, signal: AbortSignal, parts: DiffServiceDependencies) {
  if (query === undefined) throw invalid('query', 'is missing')
  const sandbox = parts.sandboxes.get(query.sandboxId)
  const principal = parsePrincipal(query.principal)
  const policy = principal === 'owner' ? undefined : compilePolicy(sandbox.rules)
  // Both before the work: a side that is not there is told at once.
  const sides = [
    sideOf(query.from, 'base', 'query.from', sandbox, parts),
    sideOf(query.to, 'live', 'query.to', sandbox, parts),
  ]
  const live = sides.includes(null) ? await parts.versionOf(sandbox, signal) : null
  const [from, to] = sides.map((side) => side ?? live)
  return { from: from as Hash, to: to as Hash, levelOf: policy && ((path: string) => policy.levelOf(path)) }
}

/** Null: the sandbox as it is now. */
function sideOf(
  message: DiffSide | undefined,
  fallback: 'base' | 'live',
  field: string,
  sandbox: SandboxRecord,
  { snapshots, checkpoints }: DiffServiceDependencies,
): Hash | null {
  const side = message?.side
  switch (side?.case) {
    case 'snapshotId':
      return snapshots.get(side.value, `${field}.snapshot_id`).root
    case 'checkpointId':
      return checkpoints.get(sandbox.id, side.value, `${field}.checkpoint_id`).root
    case 'base':
      return sandbox.base
    case 'live':
      return null
    case 'origin':
      return originOf(sandbox)
    default:
      return fallback === 'base' ? sandbox.base : null
  }
}
