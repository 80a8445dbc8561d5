import type { Agent } from '../../runtimes/contract/agent.ts'
import type { Launched } from '../../runtimes/contract/runtime.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError } from '../errors/croft-error.ts'
import type { SandboxLimits } from './resource-limits.ts'
import type { Lease } from './views.ts'

/** Where the view stands inside. */
export const WORKSPACE = '/workspace'

/** What a sandbox has while it runs. */
export interface RunningParts {
  readonly sandboxId: string
  readonly hostUid: number
  readonly limits: SandboxLimits
  /** Where commands begin that name no directory. */
  readonly cwd: string
  readonly launched: Launched
  readonly agent: Agent
  readonly view: Lease
}

/** A sandbox that runs: what is needed to use it, and to end it. */
export class Running {
  readonly sandboxId: string
  readonly agent: Agent
  readonly parts: RunningParts
  /** In force, the server's own among them. */
  readonly limits: SandboxLimits
  /** Called once when it ends, whatever the reason; the end waits for them. */
  readonly atEnd = new Set<() => Promise<void>>()
  readonly #maxCommands: number
  readonly #maxConnections: number
  #commands = 0
  #connections = 0

  readonly #beforeCommand: (text: string) => Promise<void>

  /** `beforeCommand` is waited for; a command is not begun where it fails. */
  constructor(limits: Limits, parts: RunningParts, beforeCommand = nothing) {
    this.#beforeCommand = beforeCommand
    this.#maxCommands = parts.limits.commands ?? limits.maxCommandsPerSandbox
    this.#maxConnections = limits.maxPortConnectionsPerSandbox
    this.limits = parts.limits
    this.parts = parts
    this.sandboxId = parts.sandboxId
    this.agent = parts.agent
  }

  /** Room for one more connection to a server inside; followed by one `endConnection`. Throws RESOURCE_EXHAUSTED. */
  beginConnection(): void {
    if (this.#connections >= this.#maxConnections) {
      throw new CroftError(
        'RESOURCE_EXHAUSTED',
        `sandbox ${this.sandboxId} has ${this.#connections} connections to its ports, which is the limit`,
      )
    }
    this.#connections += 1
  }

  endConnection(): void {
    this.#connections -= 1
  }

  /** Commands under way. */
  get commands(): number {
    return this.#commands
  }

  /** Room for one more command; followed by one `endCommand`. Throws RESOURCE_EXHAUSTED. */
  beginCommand(): void {
    if (this.#commands >= this.#maxCommands) {
      throw new CroftError(
        'RESOURCE_EXHAUSTED',
        `sandbox ${this.sandboxId} runs ${this.#commands} commands, which is the limit`,
      )
    }
    this.#commands += 1
  }

  /** With its text, for people. After `beginCommand`. */
  async prepareCommand(text: string): Promise<void> {
    await this.#beforeCommand(text)
  }

  endCommand(): void {
    this.#commands -= 1
  }
}

/** `beforeCommand` of one that prepares for none. */
async function nothing(_text: string): Promise<void> {
  // There is nothing to be done.
}
