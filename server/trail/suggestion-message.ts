import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Level } from '../../fs-layer/policy/rule.ts'
import type { Excess, Suggestion } from '../../fs-layer/policy/suggest/suggest.ts'
import { Permission, PolicyExcess_Reason, type SuggestPolicyResponseSchema } from '../../proto/index.ts'
import type { Limits } from '../config/limits.ts'
import { pathBytes } from '../files/view-path.ts'
import { ruleMessage } from '../sandboxes/permissions.ts'

export function suggestionMessage(
  { rules, losses, excesses }: Suggestion,
  { maxPolicyLosses }: Limits,
): MessageInitShape<typeof SuggestPolicyResponseSchema> {
  return {
    permissions: rules.map(ruleMessage),
    losses: losses.slice(0, maxPolicyLosses).map(({ path, whole, before, after, files }) => ({
      path: pathBytes(path),
      whole,
      before: PERMISSIONS[before],
      after: PERMISSIONS[after],
      count: BigInt(files),
    })),
    lossesTruncated: losses.length > maxPolicyLosses,
    excesses: excesses.map(({ path, level, reason }) => ({
      path: pathBytes(path),
      permission: PERMISSIONS[level],
      reason: REASONS[reason],
    })),
  }
}

const PERMISSIONS: Readonly<Record<Level, Permission>> = [
  Permission.NONE,
  Permission.VIEW,
  Permission.READ,
  Permission.WRITE,
]

const REASONS: Readonly<Record<Excess['reason'], PolicyExcess_Reason>> = {
  trail: PolicyExcess_Reason.TRAIL_OVERFLOW,
  size: PolicyExcess_Reason.TOO_MANY_RULES,
  name: PolicyExcess_Reason.NAME,
}
