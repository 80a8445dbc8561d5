import type { MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import type { SnapshotSchema } from '../../proto/index.ts'
import { originOf } from '../records/origin.ts'
import type { SnapshotRecord } from '../records/record-types.ts'

export function snapshotMessage(record: SnapshotRecord): MessageInitShape<typeof SnapshotSchema> {
  return {
    id: record.id,
    name: record.name,
    labels: { ...record.labels },
    ownerId: record.owner ?? '',
    sandboxId: record.sandboxId,
    codebaseId: record.codebaseId,
    rootHash: Buffer.from(record.root, 'hex'),
    baseRootHash: Buffer.from(record.base, 'hex'),
    originRootHash: Buffer.from(originOf(record), 'hex'),
    size: BigInt(record.bytes),
    fileCount: BigInt(record.files),
    createdAt: timestampFromMs(record.createdAtMs),
    skipped: BigInt(record.skipped),
  }
}
