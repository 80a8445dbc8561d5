import type { MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { type SessionSchema, SessionStatus } from '../../proto/index.ts'
import type { SessionRecord } from '../records/record-types.ts'

export function sessionMessage(record: SessionRecord): MessageInitShape<typeof SessionSchema> {
  return {
    id: record.id,
    sandboxId: record.sandboxId,
    status: record.status === 'active' ? SessionStatus.ACTIVE : SessionStatus.CLOSED,
    shell: record.shell,
    createdAt: timestampFromMs(record.createdAtMs),
    ...(record.closedAtMs === undefined ? {} : { closedAt: timestampFromMs(record.closedAtMs) }),
  }
}
