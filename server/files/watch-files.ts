import type { MessageInitShape } from '@bufbuild/protobuf'
import type { FileEvent } from '../../fs-layer/index.ts'
import { parseCursor } from '../../fs-layer/view/file-event.ts'
import {
  FileEventKind,
  FileEventReset,
  type FileEventSchema,
  type WatchFilesRequest,
  type WatchFilesResponseSchema,
} from '../../proto/index.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import type { Sandboxes } from '../sandboxes/sandboxes.ts'
import type { Views } from '../sandboxes/views.ts'
import { FILE_KINDS, parsePrincipal } from './file-entry.ts'
import { parseViewPath, pathBytes } from './view-path.ts'

export interface WatchDependencies {
  readonly sandboxes: Sandboxes
  readonly views: Views
  readonly watches: Watches
  readonly signal: AbortSignal
}

/**
 * Events of a view until the client goes. Its lease keeps the view open, so that they go on over a stop and a start of
 * the sandbox.
 */
export async function* watchFiles(
  request: WatchFilesRequest,
  { sandboxes, views, watches, signal }: WatchDependencies,
): AsyncGenerator<MessageInitShape<typeof WatchFilesResponseSchema>> {
  const path = parseViewPath(request.path, 'path')
  const as = parsePrincipal(request.principal)
  const cursor = request.cursor === '' ? undefined : request.cursor
  if (cursor !== undefined && parseCursor(cursor) === null) throw invalid('cursor', 'is no cursor of an event')
  const { sandboxId } = request
  const sandbox = sandboxes.get(sandboxId)
  watches.begin(sandboxId)
  try {
    const lease = await views.lease(sandbox)
    try {
      for await (const events of lease.view.watch({ path, cursor }, as, signal)) {
        yield { events: events.map(eventMessage) }
      }
    } finally {
      lease.release()
    }
  } finally {
    watches.end(sandboxId)
  }
  signal.throwIfAborted()
  // Destroyed: NOT_FOUND. Otherwise the client comes again, and is told that it must look anew.
  sandboxes.get(sandboxId)
  throw new CroftError('UNAVAILABLE', `the view of sandbox ${sandboxId} was closed`, { reason: 'view_closed' })
}

/** How many calls watch each sandbox. */
export class Watches {
  readonly #max: number
  readonly #open = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  /** Throws RESOURCE_EXHAUSTED. Followed by one `end`. */
  begin(sandboxId: string): void {
    const open = this.#open.get(sandboxId) ?? 0
    if (open >= this.#max) {
      throw new CroftError('RESOURCE_EXHAUSTED', `${this.#max} calls watch sandbox ${sandboxId}, which is the limit`)
    }
    this.#open.set(sandboxId, open + 1)
  }

  end(sandboxId: string): void {
    const open = (this.#open.get(sandboxId) ?? 0) - 1
    if (open > 0) this.#open.set(sandboxId, open)
    else this.#open.delete(sandboxId)
  }
}

const KINDS = {
  created: FileEventKind.CREATED,
  modified: FileEventKind.MODIFIED,
  deleted: FileEventKind.DELETED,
  renamed: FileEventKind.RENAMED,
  attributes: FileEventKind.ATTRIBUTES,
} as const

const RESETS = {
  begin: FileEventReset.BEGIN,
  expired: FileEventReset.EXPIRED,
  renewed: FileEventReset.RENEWED,
  rules: FileEventReset.RULES,
} as const

function eventMessage(event: FileEvent): MessageInitShape<typeof FileEventSchema> {
  if (event.kind === 'reset') {
    return { kind: FileEventKind.RESET, reset: RESETS[event.reason], cursor: event.cursor }
  }
  return {
    kind: KINDS[event.kind],
    path: pathBytes(event.path),
    ...(event.from === undefined ? {} : { from: pathBytes(event.from) }),
    exchanged: event.exchanged ?? false,
    fileKind: FILE_KINDS[event.type],
    cursor: event.cursor,
  }
}
