import type { MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import type { Root } from '../../fs-layer/store/objects.ts'
import type { CodebaseSchema } from '../../proto/index.ts'
import type { CodebaseRecord } from '../records/record-types.ts'

/** `root` is the one of the record. */
export function codebaseMessage(record: CodebaseRecord, root: Root): MessageInitShape<typeof CodebaseSchema> {
  return {
    id: record.id,
    name: record.name,
    ownerId: record.ownerId,
    size: BigInt(root.bytes),
    fileCount: root.files,
    createdAt: timestampFromMs(record.createdAtMs),
    updatedAt: timestampFromMs(record.updatedAtMs),
    rootHash: Buffer.from(record.root, 'hex'),
  }
}
