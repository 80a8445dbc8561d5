import { constants } from 'node:os'
import type { Duplex } from 'node:stream'
import { type Agent, AgentError, type AgentProcess, type ListenOptions, type SpawnSpec } from '../contract/agent.ts'
import { OUTPUT_WINDOW_BYTES } from './channels.ts'
import {
  encodeFrame,
  encodeSpec,
  type Frame,
  FrameDecoder,
  MAX_PAYLOAD_BYTES,
  MAX_SPEC_BYTES,
  MAX_STRINGS,
  PROTOCOL_VERSION,
} from './codec.ts'
import { deferred } from './deferred.ts'
import { Liveness } from './liveness.ts'
import { isDimension, RemoteProcess } from './remote-process.ts'
import { isStreamFrame } from './stream-codec.ts'
import { Streams } from './streams.ts'

export interface AgentOptions {
  /** Bytes the agent may leave unread before a spawn waits. Default 1 MiB; at sixteen times that it is closed. */
  readonly maxUnreadBytes?: number
  /** How long the agent may say nothing after it was asked something. Default 10 s. */
  readonly answerMaxMs?: number
  /** How long it may say nothing while it is pinged. Default 60 s. */
  readonly silenceMaxMs?: number
  /** Which system calls there are inside, as a program for the kernel. Without it: all. */
  readonly systemCallFilter?: Buffer | undefined
  /** Variables of every process, beneath those that its spawn names. */
  readonly env?: Readonly<Record<string, string>>
  /**
   * A program has called sync(2) or syncfs(2), where the filter asks for it, and goes on when this resolves. Where it
   * rejects, the program gets EIO.
   */
  readonly sync?: (() => Promise<void>) | undefined
}

/** Programs that wait for a sync at one time; as many as the agent lets wait. */
const MAX_SYNCS = 64

/** Of processes that the agent has not spoken of for the last time. Far more than an honest one has. */
const MAX_OPEN_PROCESSES = 1024

/**
 * Speaks to the agent at the other end of `stream`, and owns the stream from now on. Whatever the agent says is
 * checked; the first thing that is not as agreed closes the connection with an `AgentError` `protocol`, and too
 * long a silence with `silent`.
 */
export function connectAgent(stream: Duplex, options: AgentOptions = {}): Agent {
  return new Connection(stream, options)
}

class Connection implements Agent {
  readonly closed: Promise<AgentError | undefined>
  readonly #stream: Duplex
  readonly #maxUnreadBytes: number
  readonly #decoder = new FrameDecoder()
  readonly #processes = new Map<number, RemoteProcess>()
  readonly #streams = new Streams({ send: (frame) => this.#send(frame), errnoName })
  readonly #env: Readonly<Record<string, string>> | undefined
  readonly #settleClosed: (reason: AgentError | undefined) => void
  readonly #liveness: Liveness
  /** Of the ping that has not been answered yet. */
  #pingToken: number | undefined
  #lastToken = 0
  #waitingForDrain: (() => void)[] = []
  #lastId = 0
  #greeted = false
  readonly #sync: () => Promise<void>
  #syncs = 0
  #over: AgentError | undefined

  constructor(stream: Duplex, options: AgentOptions) {
    this.#stream = stream
    this.#sync = options.sync ?? (() => Promise.resolve())
    this.#maxUnreadBytes = options.maxUnreadBytes ?? 1 << 20
    this.#env = options.env
    const { promise, resolve } = deferred<AgentError | undefined>()
    this.closed = promise
    this.#settleClosed = resolve
    const { answerMaxMs = 10_000, silenceMaxMs = 60_000 } = options
    this.#liveness = new Liveness(
      { answerMaxMs, silenceMaxMs },
      {
        ping: () => this.#ping(),
        onSilent: (message) => this.#finish(new AgentError('silent', `the agent does not answer: ${message}`)),
      },
    )
    if (options.systemCallFilter !== undefined) this.#send({ type: 'filter', program: options.systemCallFilter })
    stream.on('data', (piece: Buffer) => this.#receive(piece))
    stream.on('drain', () => this.#drained())
    stream.on('end', () => this.#finish(new AgentError('closed', 'the agent has gone')))
    stream.on('close', () => this.#finish(new AgentError('closed', 'the agent has gone')))
    stream.on('error', (error: Error) => this.#finish(new AgentError('closed', `the agent has gone: ${error.message}`)))
  }

  async spawn(given: SpawnSpec): Promise<AgentProcess> {
    const spec = this.#env === undefined ? given : { ...given, env: { ...this.#env, ...given.env } }
    const description = checkedDescription(spec)
    if (this.#processes.size >= MAX_OPEN_PROCESSES) {
      throw new AgentError('spawn', `${this.#processes.size} processes are not over yet`, 'EAGAIN')
    }
    while (this.#over === undefined && this.#stream.writableLength > this.#maxUnreadBytes) {
      await new Promise<void>((resolve) => this.#waitingForDrain.push(resolve))
    }
    if (this.#over !== undefined) throw this.#over
    this.#lastId += 1
    const id = this.#lastId
    const program = spec.argv[0]?.toString() ?? ''
    const process = new RemoteProcess(
      { id, spec, program },
      {
        send: (frame) => this.#send(frame),
        asked: () => this.#liveness.asked(),
        over: () => this.#processes.delete(id),
      },
    )
    this.#processes.set(id, process)
    this.#stream.cork()
    for (let at = 0; at < description.length; at += MAX_PAYLOAD_BYTES) {
      this.#send({ type: 'spec', id, part: description.subarray(at, at + MAX_PAYLOAD_BYTES) })
    }
    this.#send({
      type: 'spawn',
      id,
      stdin: spec.stdin === true && spec.terminal === undefined,
      terminal: spec.terminal !== undefined,
      control: spec.control === true,
      rows: spec.terminal?.rows ?? 0,
      columns: spec.terminal?.columns ?? 0,
      windowBytes: OUTPUT_WINDOW_BYTES,
      argc: spec.argv.length,
      envc: Object.keys(spec.env).length,
    })
    this.#stream.uncork()
    this.#liveness.asked()
    return process.started
  }

  async listen(options: ListenOptions): Promise<void> {
    if (this.#over !== undefined) throw this.#over
    const listening = this.#streams.listen(options)
    this.#liveness.asked()
    await listening
  }

  async connect(port: number, family: 4 | 6): Promise<Duplex> {
    if (this.#over !== undefined) throw this.#over
    const connecting = this.#streams.connect(port, family)
    this.#liveness.asked()
    return await connecting
  }

  close(): void {
    this.#finish(undefined)
  }

  distrust(message: string): void {
    this.#finish(new AgentError('silent', message))
  }

  #send(frame: Frame): void {
    if (this.#over !== undefined) return
    this.#stream.write(encodeFrame(frame))
    if (this.#stream.writableLength > 16 * this.#maxUnreadBytes) this.#violated('it does not read what it is sent')
  }

  /** One at a time: an agent that does not answer is not sent more and more of them. */
  #ping(): void {
    if (this.#pingToken !== undefined) return
    this.#lastToken = (this.#lastToken + 1) >>> 0
    this.#pingToken = this.#lastToken
    this.#send({ type: 'ping', token: this.#pingToken })
  }

  #receive(piece: Buffer): void {
    this.#liveness.heard()
    try {
      for (const frame of this.#decoder.decode(piece)) {
        if (this.#over !== undefined) return
        const fault = this.#handle(frame)
        if (fault !== undefined) this.#violated(fault)
      }
    } catch (error) {
      this.#violated(error instanceof Error ? error.message : String(error))
    }
  }

  /** What is wrong with the frame, if something is. */
  #handle(frame: Frame): string | undefined {
    if (frame.type === 'hello') {
      if (this.#greeted) return 'it greets twice'
      this.#greeted = true
      return frame.version === PROTOCOL_VERSION ? undefined : `it speaks version ${frame.version} of the protocol`
    }
    if (!this.#greeted) return 'it does not greet first'
    if (frame.type === 'ping') return 'a ping frame is not its to send'
    if (frame.type === 'pong') {
      if (frame.token !== this.#pingToken) return 'an answer to a ping that it was not sent'
      this.#pingToken = undefined
      return undefined
    }
    if (frame.type === 'sync') {
      if (this.#syncs === MAX_SYNCS) return 'it asks for more than it may at once'
      void this.#answerSync(frame.token)
      return undefined
    }
    if (frame.type === 'filter' || frame.type === 'synced') return `a ${frame.type} frame is not its to send`
    if (isStreamFrame(frame)) return this.#streams.handle(frame)
    const process = this.#processes.get(frame.id)
    if (process === undefined) return `it speaks of process ${frame.id}, which is none`
    switch (frame.type) {
      case 'data':
        return process.data(frame.channel, frame.data)
      case 'end':
        return process.end(frame.channel)
      case 'credit':
        return process.credit(frame.channel, frame.bytes)
      case 'started':
        return process.start(frame.pid)
      case 'failed':
        return process.fail(frame.stage, errnoName(frame.errno))
      case 'exited':
        return process.exit(frame)
      default:
        return `a ${frame.type} frame is not its to send`
    }
  }

  async #answerSync(token: bigint): Promise<void> {
    this.#syncs += 1
    const errno = await this.#sync().then(
      () => 0,
      () => constants.errno.EIO,
    )
    this.#syncs -= 1
    this.#send({ type: 'synced', token, errno })
  }

  #violated(fault: string): void {
    this.#finish(new AgentError('protocol', `the agent broke the protocol: ${fault}`))
  }

  #drained(): void {
    const waiting = this.#waitingForDrain
    this.#waitingForDrain = []
    for (const resume of waiting) resume()
  }

  #finish(reason: AgentError | undefined): void {
    if (this.#over !== undefined) return
    this.#over = reason ?? new AgentError('closed', 'the connection to the agent was closed')
    this.#liveness[Symbol.dispose]()
    this.#stream.destroy()
    for (const process of this.#processes.values()) process.lose(this.#over)
    this.#processes.clear()
    this.#streams.loseAll(this.#over)
    this.#drained()
    this.#settleClosed(reason)
  }
}

function checkedDescription(spec: SpawnSpec): Buffer {
  const refuse = (message: string, errno: string): never => {
    throw new AgentError('spawn', message, errno)
  }
  if (spec.argv.length === 0) refuse('argv is empty', 'EINVAL')
  if (spec.argv.some((argument) => argument.includes('\0'))) refuse('argv contains a NUL', 'EINVAL')
  if (spec.cwd === '' || spec.cwd.includes('\0')) refuse('cwd is empty or contains a NUL', 'EINVAL')
  for (const [name, value] of Object.entries(spec.env)) {
    if (name === '' || name.includes('=') || name.includes('\0'))
      refuse(`env has an impossible name: ${JSON.stringify(name)}`, 'EINVAL')
    if (value.includes('\0')) refuse(`env contains a NUL in ${name}`, 'EINVAL')
  }
  if (spec.terminal !== undefined) {
    if (spec.control === true) refuse('control and terminal exclude each other', 'EINVAL')
    if (!isDimension(spec.terminal.rows)) refuse('terminal.rows is not a number from 1 to 65535', 'EINVAL')
    if (!isDimension(spec.terminal.columns)) refuse('terminal.columns is not a number from 1 to 65535', 'EINVAL')
  }
  const description = encodeSpec(spec.cwd, spec.argv, spec.env)
  const strings = spec.argv.length + Object.keys(spec.env).length
  if (description.length > MAX_SPEC_BYTES || strings > MAX_STRINGS) {
    refuse(`arguments and environment are ${description.length} bytes in ${strings} strings, over the limit`, 'E2BIG')
  }
  return description
}

function errnoName(errno: number): string {
  const found = Object.entries(constants.errno).find(([, value]) => value === errno)
  // A number that is none, from an agent that lies.
  return found?.[0] ?? 'EIO'
}
