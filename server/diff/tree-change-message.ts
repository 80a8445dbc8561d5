import type { MessageInitShape } from '@bufbuild/protobuf'
import type { TreeChange } from '../../fs-layer/diff/changes-between.ts'
import { isSame } from '../../fs-layer/diff/walk.ts'
import type { ByteString } from '../../fs-layer/protocol/filesystem.ts'
import type { TreeEntry } from '../../fs-layer/store/objects.ts'
import { ChangeKind, type ChangeSchema } from '../../proto/index.ts'
import { FILE_KINDS } from '../files/file-entry.ts'
import { pathBytes } from '../files/view-path.ts'

export function treeChangeMessage(
  change: TreeChange,
  isRead: (path: ByteString) => boolean,
): MessageInitShape<typeof ChangeSchema> {
  const entry = change.kind === 'deleted' ? change.before : change.after
  const message = {
    kind: KINDS[change.kind],
    path: pathBytes(change.path),
    fileKind: FILE_KINDS[entry.kind],
    size: BigInt(sizeOf(entry)),
    mode: entry.mode,
    ...(isRead(change.path) ? contentsOf(change) : {}),
  }
  if (change.kind === 'created' || change.kind === 'deleted') return message
  const { before, after } = change
  if (change.kind === 'type') return { ...message, oldMode: before.mode, oldFileKind: FILE_KINDS[before.kind] }
  if (change.kind !== 'renamed') return { ...message, oldMode: before.mode }
  const modified = !isSame(before, after) || before.mode !== after.mode
  const { similarity } = change
  return { ...message, oldMode: before.mode, from: pathBytes(change.from), modified, similarity }
}

const KINDS = {
  created: ChangeKind.CREATED,
  modified: ChangeKind.MODIFIED,
  deleted: ChangeKind.DELETED,
  renamed: ChangeKind.RENAMED,
  mode: ChangeKind.MODE,
  type: ChangeKind.TYPE,
} as const

function contentsOf(change: TreeChange) {
  const before = change.kind === 'created' ? null : change.before
  const after = change.kind === 'deleted' ? null : change.after
  return {
    ...(after?.kind === 'file' ? { sha256: Buffer.from(after.hash, 'hex') } : {}),
    ...(before?.kind === 'file' ? { oldSha256: Buffer.from(before.hash, 'hex') } : {}),
    ...(after?.kind === 'symlink' ? { symlinkTarget: pathBytes(after.target) } : {}),
    ...(before?.kind === 'symlink' ? { oldSymlinkTarget: pathBytes(before.target) } : {}),
  }
}

function sizeOf(entry: TreeEntry): number {
  return entry.kind === 'file' ? entry.size : 0
}
