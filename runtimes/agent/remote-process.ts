import { AgentError, type AgentProcess, type ExitStatus, type SpawnSpec } from '../contract/agent.ts'
import { InputChannel, OutputChannel } from './channels.ts'
import {
  CHANNELS,
  Channel,
  type ExitedFrame,
  type Frame,
  INPUT_WINDOW_BYTES,
  MAX_PAYLOAD_BYTES,
  type SignalTarget,
  type SpawnStage,
} from './codec.ts'
import { type Deferred, deferred } from './deferred.ts'

export interface RemoteProcessOptions {
  readonly id: number
  readonly spec: SpawnSpec
  readonly program: string
}

export interface RemoteProcessDependencies {
  readonly send: (frame: Frame) => void
  /** The agent has something to answer now. */
  readonly asked: () => void
  /** Called once: the agent will not speak of this process again. */
  readonly over: () => void
}

/**
 * One process as the agent reports it. The methods that take what the agent says return what is wrong with it,
 * or undefined. The agent forgets a process when it has sent its exit and one END for each of its channels, and
 * so does this side.
 */
export class RemoteProcess implements AgentProcess {
  readonly started: Promise<AgentProcess>
  readonly exited: Promise<ExitStatus>
  readonly stdin: InputChannel | null = null
  readonly stdout: OutputChannel
  readonly stderr: OutputChannel
  readonly controlIn: InputChannel | null = null
  readonly controlOut: OutputChannel | null = null
  readonly #options: RemoteProcessOptions
  readonly #dependencies: RemoteProcessDependencies
  readonly #outputs: (OutputChannel | undefined)[] = Array.from({ length: CHANNELS })
  readonly #inputs: (InputChannel | undefined)[] = Array.from({ length: CHANNELS })
  readonly #settleStarted: Deferred<AgentProcess>
  readonly #settleExited: Deferred<ExitStatus>
  #pid = 0
  #outputLeft: number
  #outputExceeded = false
  #state: 'starting' | 'running' | 'exited' | 'over' = 'starting'

  constructor(options: RemoteProcessOptions, dependencies: RemoteProcessDependencies) {
    this.#options = options
    this.#dependencies = dependencies
    const started = deferred<AgentProcess>()
    const exited = deferred<ExitStatus>()
    this.started = started.promise
    this.exited = exited.promise
    this.#settleStarted = started
    this.#settleExited = exited
    // Whoever waits for the exit gets the error; a caller that only wants the output must not end the server.
    exited.promise.catch(ignoreUnlessAwaited)

    const { spec } = options
    this.#outputLeft = spec.maxOutputBytes ?? Number.POSITIVE_INFINITY
    this.stdout = this.#output(Channel.stdout)
    this.stderr = new OutputChannel(silent)
    if (spec.terminal === undefined) this.stderr = this.#output(Channel.stderr)
    else this.stderr.end()
    if (spec.stdin === true || spec.terminal !== undefined) this.stdin = this.#input(Channel.stdin)
    if (spec.control === true) {
      this.controlIn = this.#input(Channel.controlIn)
      this.controlOut = this.#output(Channel.controlOut)
    }
  }

  get pid(): number {
    return this.#pid
  }

  get outputExceeded(): boolean {
    return this.#outputExceeded
  }

  signal(signal: number, to: SignalTarget): void {
    if (!Number.isInteger(signal) || signal < 1 || signal > 64) {
      throw new RangeError(`signal is not a number from 1 to 64: ${signal}`)
    }
    // The tree can outlive the process, and is found by its id alone.
    this.#dependencies.send({ type: 'signal', id: this.#options.id, signal, target: to })
    this.#dependencies.asked()
  }

  resize(rows: number, columns: number): void {
    if (this.#options.spec.terminal === undefined) throw new TypeError('the process has no terminal')
    for (const [name, value] of Object.entries({ rows, columns })) {
      if (!isDimension(value)) {
        throw new RangeError(`${name} is not a number from 1 to 65535: ${value}`)
      }
    }
    if (this.#state !== 'over') this.#dependencies.send({ type: 'resize', id: this.#options.id, rows, columns })
  }

  data(channel: number, data: Buffer): string | undefined {
    const output = this.#outputs[channel]
    if (output === undefined) return `data on channel ${channel}, which is none`
    if (data.length === 0) return 'empty data'
    if (channel !== Channel.stdout && channel !== Channel.stderr) return received(output, data)
    const kept = data.length > this.#outputLeft ? data.subarray(0, this.#outputLeft) : data
    this.#outputLeft -= kept.length
    if (kept.length < data.length) this.#exceed()
    return kept.length === 0 ? undefined : received(output, kept)
  }

  /** What is dropped gives no credit, so the agent is told to keep the rest: its exit would wait for that. */
  #exceed(): void {
    if (this.#outputExceeded) return
    this.#outputExceeded = true
    this.signal(SIGKILL, 'tree')
    const { id } = this.#options
    for (const channel of [Channel.stdout, Channel.stderr]) {
      if (this.#outputs[channel]?.ended === false) this.#dependencies.send({ type: 'end', id, channel })
    }
  }

  end(channel: number): string | undefined {
    const closed = this.#outputs[channel]?.end() ?? this.#inputs[channel]?.close()
    if (closed !== true) return `an end of channel ${channel}, which is not open`
    this.#forgetIfOver()
    return undefined
  }

  credit(channel: number, bytes: number): string | undefined {
    const input = this.#inputs[channel]
    if (input === undefined) return `credit for channel ${channel}, which is none`
    return input.credit(bytes) ? undefined : `credit of ${bytes} bytes that it has no room for`
  }

  start(pid: number): string | undefined {
    if (this.#state !== 'starting' || pid === 0) return 'a start of what has started'
    this.#state = 'running'
    this.#pid = pid
    this.#settleStarted.resolve(this)
    return undefined
  }

  fail(stage: SpawnStage, errno: string): string | undefined {
    if (this.#state !== 'starting') return 'a failed start of what has started'
    const { program, spec } = this.#options
    const what = { setup: `prepare ${program}`, cwd: `enter ${spec.cwd}`, exec: `start ${program}` }[stage]
    this.#end(new AgentError('spawn', `cannot ${what}: ${errno}`, errno, stage))
    this.#dependencies.over()
    return undefined
  }

  exit(frame: ExitedFrame): string | undefined {
    if (this.#state !== 'running') return 'an exit of what does not run'
    this.#state = 'exited'
    this.#settleExited.resolve({
      ...(frame.signal === 0 ? { code: frame.code } : { signal: frame.signal }),
      cpuUserUs: frame.cpuUserUs,
      cpuSystemUs: frame.cpuSystemUs,
      maxRssBytes: frame.maxRssBytes,
    })
    this.#forgetIfOver()
    return undefined
  }

  /** The connection has ended. */
  lose(reason: AgentError): void {
    this.#end(reason)
  }

  #end(reason: AgentError): void {
    this.#state = 'over'
    this.#settleStarted.reject(reason)
    this.#settleExited.reject(reason)
    // Destroyed without the error: who reads on sees a premature close, and an `error` event that nobody
    // listens to would end the server. The reason is in `exited`.
    for (const output of this.#outputs) if (output !== undefined && !output.ended) output.destroy()
    for (const input of this.#inputs) input?.close()
  }

  #forgetIfOver(): void {
    if (this.#state !== 'exited') return
    if (this.#outputs.some((output) => output?.ended === false)) return
    if (this.#inputs.some((input) => input?.closedByAgent === false)) return
    this.#state = 'over'
    this.#dependencies.over()
  }

  #output(channel: number): OutputChannel {
    const { id } = this.#options
    const output = new OutputChannel({
      grant: (bytes) => this.#dependencies.send({ type: 'credit', id, channel, bytes }),
      abandon: () => {
        if (this.#state !== 'over') this.#dependencies.send({ type: 'end', id, channel })
      },
    })
    this.#outputs[channel] = output
    return output
  }

  #input(channel: number): InputChannel {
    const { id } = this.#options
    const limits = { windowBytes: INPUT_WINDOW_BYTES, maxFrameBytes: MAX_PAYLOAD_BYTES }
    const input = new InputChannel(
      {
        data: (data) => this.#dependencies.send({ type: 'data', id, channel, data }),
        end: () => {
          if (this.#state !== 'over') this.#dependencies.send({ type: 'end', id, channel })
        },
      },
      limits,
    )
    this.#inputs[channel] = input
    return input
  }
}

const SIGKILL = 9

function received(output: OutputChannel, data: Buffer): string | undefined {
  return output.receive(data) ? undefined : 'more data than it had credit for'
}

/** Of a terminal. */
export function isDimension(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65_535
}

const silent = { grant: () => undefined, abandon: () => undefined }

function ignoreUnlessAwaited(): void {
  // The promise itself stays rejected for everyone who has it.
}
