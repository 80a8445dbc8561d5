import type { IdPrefix } from '../records/ids.ts'
import type { SandboxRecord, SnapshotRecord } from '../records/record-types.ts'
import type { Records } from '../records/records.ts'

/** Things that have an owner of their own. A command has that of its sandbox, and is asked for together with that. */
export type OwnedKind = Extract<IdPrefix, 'cb' | 'sb' | 'sess' | 'snap'>

export type OwnedRecords = Pick<Records, 'codebases' | 'sandboxes' | 'sessions' | 'snapshots'>

/** `undefined`: there is no such thing. */
export function ownerOf(kind: OwnedKind, id: string, records: OwnedRecords): string | undefined {
  switch (kind) {
    case 'cb':
      return records.codebases.get(id)?.ownerId
    case 'sb':
      return ownerOfSandbox(id, records)
    case 'sess': {
      const session = records.sessions.get(id)
      return session === undefined ? undefined : ownerOfSandbox(session.sandboxId, records)
    }
    case 'snap': {
      const snapshot = records.snapshots.get(id)
      return snapshot === undefined ? undefined : ownerIn(snapshot, records)
    }
  }
}

/** Records of before there were owners have that of their codebase. */
export function ownerIn(
  { owner, codebaseId }: Pick<SandboxRecord | SnapshotRecord, 'owner' | 'codebaseId'>,
  { codebases }: Pick<Records, 'codebases'>,
): string {
  return owner ?? codebases.get(codebaseId)?.ownerId ?? ''
}

function ownerOfSandbox(id: string, records: OwnedRecords): string | undefined {
  const record = records.sandboxes.get(id)
  return record === undefined || record.status === 'destroyed' ? undefined : ownerIn(record, records)
}
