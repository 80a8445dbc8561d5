import type { MessageInitShape } from '@bufbuild/protobuf'
import { type NetworkPolicy, NetworkPolicy_Mode, type NetworkPolicySchema } from '../../proto/index.ts'
import type { LaunchSpec } from '../../runtimes/contract/runtime.ts'
import type { Limits } from '../config/limits.ts'
import { invalid } from '../errors/croft-error.ts'
import { type AllowRule, parseAllowRule } from './allow-list.ts'

export type Network = LaunchSpec['network']

/** Throws INVALID_ARGUMENT naming the field. */
export function parseNetwork(policy: NetworkPolicy | undefined, limits: Limits): Network {
  const { mode = NetworkPolicy_Mode.UNSPECIFIED, allow = [] } = policy ?? {}
  if (mode !== NetworkPolicy_Mode.ALLOW_LIST && allow.length > 0) {
    throw invalid('network.allow', 'is only for the mode that is an allow-list')
  }
  switch (mode) {
    case NetworkPolicy_Mode.UNSPECIFIED:
    case NetworkPolicy_Mode.OFF:
      return { mode: 'off' }
    case NetworkPolicy_Mode.FULL:
      return { mode: 'full' }
    case NetworkPolicy_Mode.ALLOW_LIST:
      if (allow.length > limits.maxNetworkRules) {
        throw invalid('network.allow', `has ${allow.length} entries, over the limit of ${limits.maxNetworkRules}`)
      }
      allow.forEach((text, index) => {
        const rule = parseAllowRule(text)
        if ('fault' in rule) throw invalid(`network.allow[${index}]`, rule.fault)
      })
      return { mode: 'allow-list', allow }
    default:
      throw invalid('network.mode', `has no meaning: ${mode}`)
  }
}

/** Of entries that were parsed when the sandbox was made. */
export function rulesOf(allow: readonly string[]): AllowRule[] {
  return allow.flatMap((text) => {
    const rule = parseAllowRule(text)
    return 'fault' in rule ? [] : [rule]
  })
}

export function networkMessage(network: Network): MessageInitShape<typeof NetworkPolicySchema> {
  switch (network.mode) {
    case 'off':
      return { mode: NetworkPolicy_Mode.OFF }
    case 'full':
      return { mode: NetworkPolicy_Mode.FULL }
    case 'allow-list':
      return { mode: NetworkPolicy_Mode.ALLOW_LIST, allow: [...network.allow] }
  }
}
