import type { Agent } from '../../../runtimes/contract/agent.ts'
import type { RUNTIMES_IN_TABLE } from '../../../runtimes/contract/capabilities.ts'
import type { RuntimeHouse } from '../../fixtures/runtime-house.ts'

/** What a case is given. */
export interface Given {
  readonly name: (typeof RUNTIMES_IN_TABLE)[number]
  /** Where it may launch sandboxes of its own. */
  readonly house: RuntimeHouse
  /** Of a sandbox without limits that all cases share: a case leaves it as it was. */
  readonly agent: Agent
  /** Its view, on the host. */
  readonly viewPath: string
  /** With nothing in it. */
  openHouse(): RuntimeHouse
}
