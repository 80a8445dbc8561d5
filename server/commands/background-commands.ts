import type { ExecRequest } from '../../proto/index.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid, notFound } from '../errors/croft-error.ts'
import { parseCommand } from '../exec/command.ts'
import type { Logger } from '../observability/log.ts'
import { checkId, newId } from '../records/ids.ts'
import { WORKSPACE } from '../sandboxes/running.ts'
import type { Sandboxes } from '../sandboxes/sandboxes.ts'
import { BackgroundCommand } from './background-command.ts'

export interface BackgroundCommandsDependencies {
  readonly sandboxes: Pick<Sandboxes, 'get' | 'running' | 'exists' | 'cwd'>
  readonly nowMs: () => number
  readonly log: Logger
}

/** The background commands of every sandbox, in the order in which they were started. In memory only. */
export class BackgroundCommands {
  readonly #limits: Limits
  readonly #parts: BackgroundCommandsDependencies
  readonly #bySandbox = new Map<string, Map<string, BackgroundCommand>>()

  constructor(options: { limits: Limits }, dependencies: BackgroundCommandsDependencies) {
    this.#limits = options.limits
    this.#parts = dependencies
  }

  /** `signal`: gives up as long as it has not started. */
  async start(request: ExecRequest | undefined, signal: AbortSignal): Promise<BackgroundCommand> {
    if (request === undefined) throw invalid('request', 'is missing')
    const limits = this.#limits
    const { sandboxes } = this.#parts
    const defaultTimeoutMs = limits.execTimeoutMaxMs
    const command = parseCommand(request, {
      limits,
      workspace: WORKSPACE,
      cwd: sandboxes.cwd(request.sandboxId),
      defaultTimeoutMs,
    })
    const running = this.#parts.sandboxes.running(request.sandboxId)
    const id = newId('cmd')
    const { sandboxId } = running
    const { nowMs, log } = this.#parts
    const started = new BackgroundCommand(
      { id, sandboxId, text: textOf(request), startedAtMs: nowMs() },
      { limits, nowMs, log },
    )
    const commands = this.#bySandbox.get(sandboxId) ?? new Map<string, BackgroundCommand>()
    this.#makeRoom(sandboxId, commands)
    // In its place before it has started: others that start meanwhile count it.
    commands.set(id, started)
    this.#bySandbox.set(sandboxId, commands)
    try {
      await started.start(running, command, signal)
    } catch (error) {
      commands.delete(id)
      throw error
    }
    return started
  }

  /** Throws NOT_FOUND, or INVALID_ARGUMENT naming the field. */
  get(sandboxId: string, commandId: string): BackgroundCommand {
    const { id } = this.#parts.sandboxes.get(sandboxId)
    const found = this.#bySandbox.get(id)?.get(checkId('cmd', commandId, 'command_id'))
    if (found === undefined) throw notFound('command', commandId)
    return found
  }

  list(sandboxId: string): BackgroundCommand[] {
    const { id } = this.#parts.sandboxes.get(sandboxId)
    return [...(this.#bySandbox.get(id)?.values() ?? [])]
  }

  /** Forgets those that have ended long enough ago, and all of sandboxes that are no more. */
  sweep(): void {
    const endedBefore = this.#parts.nowMs() - this.#limits.backgroundKeepMs
    for (const [sandboxId, commands] of this.#bySandbox) {
      for (const [id, { end }] of commands) {
        if (end !== undefined && end.endedAtMs <= endedBefore) commands.delete(id)
      }
      if (commands.size === 0 || !this.#parts.sandboxes.exists(sandboxId)) this.#bySandbox.delete(sandboxId)
    }
  }

  #makeRoom(sandboxId: string, commands: Map<string, BackgroundCommand>): void {
    const max = this.#limits.maxBackgroundCommandsPerSandbox
    for (const [id, { end }] of commands) {
      if (commands.size < max) return
      if (end !== undefined) commands.delete(id)
    }
    if (commands.size < max) return
    throw new CroftError(
      'RESOURCE_EXHAUSTED',
      `sandbox ${sandboxId} has ${max} commands in the background, which is the limit`,
    )
  }
}

const MAX_TEXT_BYTES = 1024

function textOf({ command, argv }: ExecRequest): string {
  const text = command === '' ? argv.map((word) => Buffer.from(word).toString('utf8')).join(' ') : command
  const bytes = Buffer.from(text, 'utf8')
  return bytes.length > MAX_TEXT_BYTES ? bytes.subarray(0, MAX_TEXT_BYTES).toString('utf8') : text
}
