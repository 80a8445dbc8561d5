import { constants } from 'node:os'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { type ExecExitSchema, ExecOutput_OutputType } from '../../proto/index.ts'
import type { SignalTarget } from '../../runtimes/agent/codec.ts'
import { AgentError } from '../../runtimes/contract/agent.ts'
import { Wakeups } from '../concurrency/wakeups.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError } from '../errors/croft-error.ts'
import type { Command } from '../exec/command.ts'
import { isNotStarted, type StartedProcess, startProcess } from '../exec/process.ts'
import { quiet } from '../exec/quiet.ts'
import { execExit } from '../exec/result.ts'
import type { Logger } from '../observability/log.ts'
import type { Running } from '../sandboxes/running.ts'
import { OutputRing } from './output-ring.ts'

export interface BackgroundOptions {
  readonly id: string
  readonly sandboxId: string
  /** What is run, for people. */
  readonly text: string
  readonly startedAtMs: number
}

export interface BackgroundParts {
  readonly limits: Limits
  readonly nowMs: () => number
  readonly log: Logger
}

export interface CommandEnd {
  readonly endedAtMs: number
  readonly exit: MessageInitShape<typeof ExecExitSchema>
  readonly timedOut: boolean
  readonly sandboxEnded: boolean
  readonly outputExceeded: boolean
}

const NORMAL = { timedOut: false, sandboxEnded: false, outputExceeded: false } as const

/** A command that nobody need wait for. Its output is always taken, so it is never held up. */
export class BackgroundCommand {
  readonly options: BackgroundOptions
  readonly output: OutputRing
  /** Woken by output, and by its end. */
  readonly changed = new Wakeups()
  /** Woken by its end. */
  readonly over = new Wakeups()
  readonly #limits: Limits
  readonly #nowMs: () => number
  readonly #log: Logger
  #started: StartedProcess | undefined
  #end: CommandEnd | undefined

  constructor(options: BackgroundOptions, parts: BackgroundParts) {
    this.options = options
    this.output = new OutputRing(parts.limits.backgroundOutputBytes)
    this.#limits = parts.limits
    this.#nowMs = parts.nowMs
    this.#log = parts.log
  }

  /** Set when it has ended. */
  get end(): CommandEnd | undefined {
    return this.#end
  }

  /** Resolves when it runs, or has shown that it cannot. Rejects as `startProcess` does. */
  async start(running: Running, command: Command, signal: AbortSignal): Promise<void> {
    // The caller may give up until it has started, and no longer.
    const starting = new AbortController()
    const giveUp = () => starting.abort(signal.reason)
    signal.addEventListener('abort', giveUp, { once: true })
    if (signal.aborted) giveUp()
    try {
      const started = await startProcess(running, command, { limits: this.#limits, signal: starting.signal })
      if (isNotStarted(started)) {
        this.#add(ExecOutput_OutputType.STDERR, Buffer.from(started.message))
        this.#finish({ ...NORMAL, exit: { exitCode: started.exitCode } })
        return
      }
      this.#started = started
      void this.#follow(started)
    } finally {
      signal.removeEventListener('abort', giveUp)
    }
  }

  /** `undefined`: SIGTERM, and SIGKILL after the grace. Throws FAILED_PRECONDITION where it has ended. */
  signal(signal: number | undefined, target: SignalTarget): void {
    if (this.#end !== undefined || this.#started === undefined) {
      throw new CroftError('FAILED_PRECONDITION', `command ${this.options.id} has ended`, { reason: 'command_ended' })
    }
    if (signal === undefined) this.#started.kill()
    else this.#started.process.signal(signal, target)
  }

  async #follow(started: StartedProcess): Promise<void> {
    const { process, startedAtMs } = started
    process.stdout.on('data', (data: Buffer) => this.#add(ExecOutput_OutputType.STDOUT, data))
    process.stderr.on('data', (data: Buffer) => this.#add(ExecOutput_OutputType.STDERR, data))
    try {
      const status = await started.exited
      await quiet(process, this.#limits.outputGraceMs)
      const durationMs = performance.now() - startedAtMs
      const exit = execExit({ status, durationMs, oomKilled: started.oomKilled(status) })
      this.#finish({ ...NORMAL, exit, timedOut: started.timedOut(), outputExceeded: process.outputExceeded })
    } catch (error) {
      // The connection to the agent has ended, and with it all that was in the sandbox.
      if (!(error instanceof AgentError)) this.#log.error({ err: error, command: this.options.id }, 'lost a command')
      const status = { signal: constants.signals.SIGKILL }
      const exit = execExit({ status, durationMs: performance.now() - startedAtMs })
      this.#finish({ ...NORMAL, exit, timedOut: started.timedOut(), sandboxEnded: true })
    } finally {
      started.done()
    }
  }

  #add(type: ExecOutput_OutputType, data: Buffer): void {
    this.output.add(type, data)
    this.changed.wake()
  }

  #finish(end: Omit<CommandEnd, 'endedAtMs'>): void {
    this.#end = { ...end, endedAtMs: this.#nowMs() }
    this.changed.wake()
    this.over.wake()
  }
}
