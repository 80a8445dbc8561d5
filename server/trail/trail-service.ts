import { setImmediate as turn } from 'node:timers/promises'
import type { TrailEntry } from '../../fs-layer/index.ts'
import { PolicyError } from '../../fs-layer/policy/policy-error.ts'
import type { PresetRegistry } from '../../fs-layer/policy/presets.ts'
import { suggest } from '../../fs-layer/policy/suggest/suggest.ts'
import type { Store } from '../../fs-layer/store/store.ts'
import type { SuggestPolicyRequest, TrailService } from '../../proto/index.ts'
import type { Handlers } from '../api/handlers.ts'
import type { Codebases } from '../codebases/codebases.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid, printable } from '../errors/croft-error.ts'
import type { Networks } from '../network/networks.ts'
import { parseRules } from '../sandboxes/permissions.ts'
import type { Sandboxes } from '../sandboxes/sandboxes.ts'
import type { Views } from '../sandboxes/views.ts'
import { basePlace } from './base-place.ts'
import { networkUseMessage } from './network-message.ts'
import { pathUse } from './path-use.ts'
import { suggestionMessage } from './suggestion-message.ts'
import { parseTrailEntry, trailMessage } from './trail-message.ts'

export interface TrailServiceDependencies {
  readonly sandboxes: Sandboxes
  readonly codebases: Codebases
  readonly views: Views
  readonly networks: Networks
  readonly store: Store
  readonly presets: PresetRegistry
  readonly limits: Limits
}

/** What programs did with which paths, and the rules that are enough for it. */
export function trailService(parts: TrailServiceDependencies): Handlers<typeof TrailService> {
  const { sandboxes, views, networks, store, limits } = parts

  async function* trailOf(sandboxId: string): AsyncGenerator<TrailEntry[]> {
    const lease = await views.lease(sandboxes.get(sandboxId))
    try {
      yield* lease.view.trail()
    } finally {
      lease.release()
    }
  }

  return {
    async *getAccessTrail({ sandboxId }) {
      for await (const entries of trailOf(sandboxId)) yield { entries: entries.map(trailMessage) }
    },

    getNetworkTrail: async ({ sandboxId }) => {
      const { id } = sandboxes.get(sandboxId)
      return { uses: networks.trailOf(id).map(networkUseMessage) }
    },

    suggestPolicy: async (request, { signal }) => {
      const { base, rules } = subjectOf(request, parts)
      const entries = request.entries.map(parseTrailEntry)
      if (entries.length === 0) {
        if (request.sandboxId === '') throw invalid('entries', 'is missing, and there is no sandbox to take them from')
        for await (const some of trailOf(request.sandboxId)) entries.push(...some)
      }
      const pause = async () => {
        await turn()
        signal.throwIfAborted()
      }
      try {
        const root = basePlace(store, base)
        return suggestionMessage(await suggest({ root, uses: entries.map(pathUse), rules, pause }), limits)
      } catch (error) {
        if (!(error instanceof PolicyError)) throw error
        throw new CroftError('RESOURCE_EXHAUSTED', `no rules are enough for it: ${printable(error.message)}`)
      }
    },
  }
}

/** Which codebase, and which rules were in force. */
function subjectOf(
  { sandboxId, codebaseId, permissions }: SuggestPolicyRequest,
  { sandboxes, codebases, presets, limits }: TrailServiceDependencies,
) {
  if ((sandboxId === '') === (codebaseId === '')) throw invalid('sandbox_id', 'or `codebase_id` must be given')
  const given = parseRules('', permissions, { presets, maxRules: limits.maxRules })
  if (sandboxId === '') return { base: codebases.get(codebaseId).root, rules: given }
  const sandbox = sandboxes.get(sandboxId)
  return { base: sandbox.base, rules: permissions.length === 0 ? sandbox.rules : given }
}
