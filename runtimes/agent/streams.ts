import type { Duplex } from 'node:stream'
import { AgentError, type ListenOptions } from '../contract/agent.ts'
import { OUTPUT_WINDOW_BYTES } from './channels.ts'
import type { Frame } from './codec.ts'
import { type Deferred, deferred } from './deferred.ts'
import { RemoteStream } from './remote-stream.ts'
import { ACCEPTED_ID, MAX_STREAMS, type StreamFrame } from './stream-codec.ts'

/** Those included of which the agent has still to say that they are over. */
const MAX_OPEN_STREAMS = 2 * MAX_STREAMS

export interface StreamsDependencies {
  readonly send: (frame: Frame) => void
  readonly errnoName: (errno: number) => string
}

/** The connections over the loop-back inside, as the agent reports them. */
export class Streams {
  readonly #send: (frame: Frame) => void
  readonly #errnoName: (errno: number) => string
  readonly #open = new Map<number, RemoteStream>()
  readonly #connecting = new Map<number, Deferred<Duplex>>()
  #listening: Deferred<void> | undefined
  #listener: ListenOptions | undefined
  #accepted = 0
  #lastId = 0

  constructor({ send, errnoName }: StreamsDependencies) {
    this.#send = send
    this.#errnoName = errnoName
  }

  /** Once. */
  listen(options: ListenOptions): Promise<void> {
    if (this.#listener !== undefined) throw new TypeError('the agent listens already')
    this.#listener = options
    this.#listening = deferred<void>()
    const { port, maxConnections } = options
    this.#send({ type: 'listen', id: 0, port, maxConnections, windowBytes: OUTPUT_WINDOW_BYTES })
    return this.#listening.promise
  }

  async connect(port: number, family: 4 | 6): Promise<Duplex> {
    if (this.#open.size >= MAX_OPEN_STREAMS) {
      throw new AgentError('connect', `${this.#open.size} connections inside are not over yet`, 'EAGAIN')
    }
    do this.#lastId = (this.#lastId + 1) % ACCEPTED_ID
    while (this.#lastId === 0 || this.#open.has(this.#lastId))
    const id = this.#lastId
    const connecting = deferred<Duplex>()
    this.#open.set(id, new RemoteStream(id, this.#send))
    this.#connecting.set(id, connecting)
    this.#send({ type: 'connect', id, port, family, windowBytes: OUTPUT_WINDOW_BYTES })
    return await connecting.promise
  }

  /** What is wrong with the frame, if something is. */
  handle(frame: StreamFrame): string | undefined {
    if (frame.type === 'listening') return this.#heardListening(frame.errno)
    if (frame.type === 'accepted') return this.#heardAccepted(frame.id)
    const stream = this.#open.get(frame.id)
    if (stream === undefined) return `it speaks of stream ${frame.id}, which is none`
    const connecting = this.#connecting.get(frame.id)
    if (frame.type === 'streamClosed') {
      this.#forget(frame.id)
      const errno = frame.errno === 0 ? undefined : this.#errnoName(frame.errno)
      if (connecting === undefined) stream.lose(errno)
      else connecting.reject(new AgentError('connect', `cannot connect inside: ${errno ?? 'EIO'}`, errno ?? 'EIO'))
      return undefined
    }
    if (frame.type === 'connected') {
      if (connecting === undefined) return 'a connection that was made already'
      this.#connecting.delete(frame.id)
      connecting.resolve(stream)
      return undefined
    }
    if (connecting !== undefined) return 'something of a connection that was not made yet'
    switch (frame.type) {
      case 'streamData':
        return stream.receive(frame.data)
      case 'streamEnd':
        return stream.receiveEnd()
      case 'streamCredit':
        return stream.receiveCredit(frame.bytes)
      default:
        return `a ${frame.type} frame is not its to send`
    }
  }

  /** The connection to the agent has ended. */
  loseAll(reason: AgentError): void {
    this.#listening?.reject(reason)
    for (const connecting of this.#connecting.values()) connecting.reject(reason)
    this.#connecting.clear()
    for (const stream of this.#open.values()) stream.lose(undefined)
    this.#open.clear()
  }

  #heardListening(errno: number): string | undefined {
    const listening = this.#listening
    if (listening === undefined) return 'an answer to a question that was not put'
    this.#listening = undefined
    if (errno === 0) listening.resolve()
    else {
      const name = this.#errnoName(errno)
      listening.reject(new AgentError('connect', `cannot listen inside: ${name}`, name))
    }
    return undefined
  }

  #heardAccepted(id: number): string | undefined {
    if (this.#listener === undefined || this.#listening !== undefined) return 'a connection to nothing'
    if (id < ACCEPTED_ID || this.#open.has(id)) return `a connection with the number ${id}`
    if (this.#accepted >= Math.min(this.#listener.maxConnections, MAX_STREAMS))
      return 'more connections than it may accept'
    this.#accepted += 1
    const stream = new RemoteStream(id, this.#send)
    this.#open.set(id, stream)
    this.#listener.onConnection(stream)
    return undefined
  }

  #forget(id: number): void {
    this.#open.delete(id)
    this.#connecting.delete(id)
    if (id >= ACCEPTED_ID) this.#accepted -= 1
  }
}
