import type { MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { NetworkOutcome, type NetworkUseSchema } from '../../proto/index.ts'
import type { NetworkUse, NetworkOutcome as Outcome } from '../network/network-trail.ts'

export function networkUseMessage(use: NetworkUse): MessageInitShape<typeof NetworkUseSchema> {
  const { host, port, outcome, count, firstAtMs, lastAtMs, others } = use
  return {
    ...{ host, port, others },
    outcome: OUTCOMES[outcome],
    count: BigInt(count),
    firstAt: timestampFromMs(firstAtMs),
    lastAt: timestampFromMs(lastAtMs),
  }
}

const OUTCOMES: Readonly<Record<Outcome, NetworkOutcome>> = {
  connected: NetworkOutcome.CONNECTED,
  not_allowed: NetworkOutcome.NOT_ALLOWED,
  private_address: NetworkOutcome.PRIVATE_ADDRESS,
  malformed: NetworkOutcome.MALFORMED,
  unresolved: NetworkOutcome.UNRESOLVED,
  unreachable: NetworkOutcome.UNREACHABLE,
}
