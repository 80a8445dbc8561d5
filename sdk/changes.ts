import { ChangeKind, SnapshotService, type Change as WireChange } from '../proto/index.ts'
import type { Connection } from './client/connection.ts'
import { type EntryKind, kindFromWire } from './entry-kind.ts'
import { type ReadPath, textOf } from './view-path.ts'

/** One difference between the view and its base. */
export interface Change extends ReadPath {
  /** `mode`: permission bits alone. `type`: another kind of thing, which `changes()` without sides tells as modified. */
  readonly kind: 'created' | 'modified' | 'deleted' | 'renamed' | 'mode' | 'type'
  /** Where it was before, for `renamed`. */
  readonly from?: string
  readonly rawFrom?: Uint8Array
  readonly type: EntryKind
  readonly sizeBytes: number
  /** Permission bits (07777). */
  readonly mode: number
  /** The bits before, for `mode`, `modified` and `type`. */
  readonly oldMode?: number
  /** For `renamed`: the contents changed too. */
  readonly modified?: boolean
  /** For `renamed`, where sides were given: percent of the larger of the two that is in both. */
  readonly similarity?: number
  /** For `type`. */
  readonly oldType?: EntryKind
}

/** One as the server tells it, with what only a program wants to know. */
export interface DetailedChange {
  readonly change: Change
  /** In hex; absent where it is no file, or may not be read. */
  readonly sha256?: string
  readonly oldSha256?: string
  readonly symlinkTarget?: Uint8Array
  readonly oldSymlinkTarget?: Uint8Array
}

export function detailedFromWire(change: WireChange): DetailedChange {
  const { sha256, oldSha256, symlinkTarget, oldSymlinkTarget } = change
  return {
    change: changeFromWire(change),
    ...(sha256.length === 0 ? {} : { sha256: Buffer.from(sha256).toString('hex') }),
    ...(oldSha256.length === 0 ? {} : { oldSha256: Buffer.from(oldSha256).toString('hex') }),
    ...(symlinkTarget.length === 0 ? {} : { symlinkTarget }),
    ...(oldSymlinkTarget.length === 0 ? {} : { oldSymlinkTarget }),
  }
}

export async function listChanges(
  connection: Connection,
  sandboxId: string,
  options: { readonly signal?: AbortSignal },
): Promise<Change[]> {
  const changes: Change[] = []
  for await (const batch of connection.serverStream(SnapshotService.method.listChanges, { sandboxId }, options)) {
    for (const change of batch.changes) changes.push(changeFromWire(change))
  }
  return changes
}

const KINDS: Record<ChangeKind, Change['kind']> = {
  [ChangeKind.UNSPECIFIED]: 'modified',
  [ChangeKind.CREATED]: 'created',
  [ChangeKind.MODIFIED]: 'modified',
  [ChangeKind.DELETED]: 'deleted',
  [ChangeKind.RENAMED]: 'renamed',
  [ChangeKind.MODE]: 'mode',
  [ChangeKind.TYPE]: 'type',
}

export function changeFromWire(change: WireChange): Change {
  const kind = KINDS[change.kind]
  return {
    kind,
    path: textOf(change.path),
    rawPath: change.path,
    ...(kind === 'renamed' ? { from: textOf(change.from), rawFrom: change.from, modified: change.modified } : {}),
    type: kindFromWire(change.fileKind),
    sizeBytes: Number(change.size),
    mode: change.mode,
    ...(kind === 'renamed' && change.similarity > 0 ? { similarity: change.similarity } : {}),
    ...(kind === 'type' ? { oldType: kindFromWire(change.oldFileKind) } : {}),
    ...(kind === 'mode' || kind === 'modified' || kind === 'type' ? { oldMode: change.oldMode } : {}),
  }
}
