import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Change, ChangeKind as ViewChangeKind, ViewHandle } from '../../fs-layer/index.ts'
import type { Store } from '../../fs-layer/store/store.ts'
import {
  ChangeKind,
  type ChangeSchema,
  CreateSnapshotRequestSchema,
  ForkSandboxRequestSchema,
  SnapshotContent,
  type SnapshotService,
} from '../../proto/index.ts'
import type { Handlers } from '../api/handlers.ts'
import { codebaseMessage } from '../codebases/codebase-message.ts'
import type { Codebases } from '../codebases/codebases.ts'
import type { Serial } from '../concurrency/serial.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import { FILE_KINDS, parsePrincipal } from '../files/file-entry.ts'
import { pathBytes } from '../files/view-path.ts'
import { once } from '../records/once.ts'
import type { CodebaseRecord, SandboxRecord, SnapshotRecord } from '../records/record-types.ts'
import { parseLabels } from '../sandboxes/create-request.ts'
import { sandboxMessage } from '../sandboxes/sandbox-message.ts'
import type { Sandboxes } from '../sandboxes/sandboxes.ts'
import type { Views } from '../sandboxes/views.ts'
import { foldSandbox } from './fold-sandbox.ts'
import { fork } from './fork.ts'
import { snapshotMessage } from './snapshot-message.ts'
import type { Snapshots } from './snapshots.ts'

export interface SnapshotServiceDependencies {
  readonly sandboxes: Sandboxes
  readonly snapshots: Snapshots
  readonly codebases: Codebases
  readonly views: Views
  readonly store: Store
  readonly limits: Limits
  readonly serial: Serial
}

/** What a sandbox changed, and its export, straight from the view; what it is now, kept, and what is made of that. */
export function snapshotService(parts: SnapshotServiceDependencies): Handlers<typeof SnapshotService> {
  const { sandboxes, snapshots, codebases, views, limits, serial } = parts

  async function* streamView<T>(id: string, work: (view: ViewHandle) => AsyncIterable<T>): AsyncGenerator<T> {
    const lease = await views.lease(sandboxes.get(id))
    try {
      yield* work(lease.view)
    } finally {
      lease.release()
    }
  }

  return {
    createSnapshot: async (request, { signal, caller }) => {
      const { sandboxId, name, labels } = request
      const sandbox = sandboxes.get(sandboxId)
      const spec = { name, labels: parseLabels(labels, limits) }
      const [made] = await once({
        ...{ schema: CreateSnapshotRequestSchema, request, caller, serial, maxKeyBytes: limits.maxNameBytes },
        find: (hasKey) => snapshots.select(hasKey),
        make: async (madeBy) => {
          snapshots.checkNew(name, sandbox)
          const folded = await foldSandbox(sandbox, signal, parts)
          return [await snapshots.keep(sandbox, folded, { ...spec, ...(madeBy === undefined ? {} : { madeBy }) })]
        },
      })
      return snapshotMessage(made as SnapshotRecord)
    },

    getSnapshot: async ({ snapshotId }) => snapshotMessage(snapshots.get(snapshotId)),

    listSnapshots: async ({ pageSize, pageToken, ...filter }, { caller }) => {
      const { items, nextPageToken } = snapshots.list(filter, pageSize, pageToken, caller)
      return { snapshots: items.map(snapshotMessage), nextPageToken }
    },

    deleteSnapshot: async ({ snapshotId }) => {
      await snapshots.delete(snapshotId)
      return {}
    },

    restoreSnapshot: async ({ sandboxId, snapshotId }) => {
      sandboxes.get(sandboxId)
      return snapshots.use(snapshotId, async ({ root }) => sandboxMessage(await sandboxes.restore(sandboxId, root)))
    },

    publishSnapshot: async ({ snapshotId, codebaseId, name, ownerId, ifRootHash }) =>
      snapshots.use(snapshotId, async ({ root }) => {
        if (codebaseId !== '' && name !== '')
          throw invalid('name', 'is for a new codebase, and `codebase_id` names one')
        const record =
          codebaseId === ''
            ? await codebases.create(name, ownerId, root)
            : await codebases.change(codebaseId, async (current) => {
                checkVersion(current, ifRootHash)
                return root
              })
        return codebaseMessage(record, codebases.rootOf(record))
      }),

    forkSandbox: async (request, { signal, caller }) => {
      const versionOf = async (sandbox: SandboxRecord) => (await foldSandbox(sandbox, signal, parts)).hash
      const forks = await once({
        ...{ schema: ForkSandboxRequestSchema, request, caller, serial, maxKeyBytes: limits.maxNameBytes },
        find: (hasKey) => sandboxes.select(hasKey),
        make: (madeBy) => fork(request, { sandboxes, versionOf, limits, madeBy }),
      })
      return { sandboxes: forks.map(sandboxMessage) }
    },

    async *listChanges({ sandboxId }) {
      for await (const changes of streamView(sandboxId, (view) => view.changes())) {
        yield { changes: changes.map(changeMessage) }
      }
    },

    async *exportSnapshot({ sandboxId, content, principal }) {
      const options = { content: parseContent(content), as: parsePrincipal(principal) }
      for await (const data of streamView(sandboxId, (view) => view.exportTar(options))) yield { data }
    },
  }
}

/** Nobody's version is dropped unseen. */
function checkVersion({ id, root }: CodebaseRecord, wanted: Uint8Array): void {
  if (wanted.length === 0 || Buffer.from(wanted).toString('hex') === root) return
  const text = `codebase ${id} has another version now: begin with that, or do without if_root_hash`
  throw new CroftError('FAILED_PRECONDITION', text, { field: 'if_root_hash', reason: 'codebase_changed' })
}

const CHANGE_KINDS: Readonly<Record<ViewChangeKind, ChangeKind>> = {
  created: ChangeKind.CREATED,
  modified: ChangeKind.MODIFIED,
  deleted: ChangeKind.DELETED,
  renamed: ChangeKind.RENAMED,
  mode: ChangeKind.MODE,
}

function changeMessage(change: Change): MessageInitShape<typeof ChangeSchema> {
  return {
    kind: CHANGE_KINDS[change.kind],
    path: pathBytes(change.path),
    fileKind: FILE_KINDS[change.type],
    size: BigInt(change.size),
    mode: change.mode & 0o7777,
    modified: change.modified ?? false,
    oldMode: (change.oldMode ?? 0) & 0o7777,
    ...(change.from === undefined ? {} : { from: pathBytes(change.from) }),
  }
}

function parseContent(content: SnapshotContent): 'view' | 'delta' {
  switch (content) {
    case SnapshotContent.UNSPECIFIED:
    case SnapshotContent.VIEW:
      return 'view'
    case SnapshotContent.DELTA:
      return 'delta'
    default:
      throw invalid('content', `is ${content}, which is no content of a snapshot`)
  }
}
