import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Change, ChangeKind as ViewChangeKind, ViewHandle } from '../../fs-layer/index.ts'
import { ChangeKind, type ChangeSchema, SnapshotContent, type SnapshotService } from '../../proto/index.ts'
import type { Handlers } from '../api/handlers.ts'
import { invalid } from '../errors/croft-error.ts'
import { FILE_KINDS, parsePrincipal } from '../files/file-entry.ts'
import { pathBytes } from '../files/view-path.ts'
import type { Sandboxes } from '../sandboxes/sandboxes.ts'
import type { Views } from '../sandboxes/views.ts'

export interface SnapshotServiceDependencies {
  readonly sandboxes: Sandboxes
  readonly views: Views
}

/** What a sandbox changed, and its export: straight from the view, at the pace of whoever reads it. */
export function snapshotService({ sandboxes, views }: SnapshotServiceDependencies): Handlers<typeof SnapshotService> {
  async function* streamView<T>(id: string, work: (view: ViewHandle) => AsyncIterable<T>): AsyncGenerator<T> {
    const lease = await views.lease(sandboxes.get(id))
    try {
      yield* work(lease.view)
    } finally {
      lease.release()
    }
  }

  return {
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
