import type { EventEmitter } from 'node:events'
import type { DescMethod } from '@bufbuild/protobuf'
import type { Logger } from 'pino'
import type { Caller } from '../access/caller.ts'
import type { Need } from '../access/decisions.ts'
import { CroftError, type StatusName } from '../errors/croft-error.ts'
import type { Call } from './handlers.ts'

/** What of a call of grpc-js is needed here. */
type Transport = Pick<EventEmitter, 'once'> & { readonly cancelled: boolean }

/** How a call was answered. */
export interface Outcome {
  readonly code: StatusName | 'OK'
  readonly reason?: string | undefined
}

/** What is known of a call when it is over. */
export interface EndedCall extends Outcome {
  readonly id: string
  readonly method: DescMethod
  /** What of the caller it needs; absent where it did not come to that. */
  readonly need: Need | undefined
  readonly caller: Caller | undefined
  /** The door, and the address. */
  readonly from: string
  /** Those that its request named. */
  readonly ids: readonly string[]
  /** The id of what it made. */
  readonly made: string | undefined
  readonly durationMs: number
}

/** Every call that is under way, so that a stop can refuse new ones, end these and know when none is left. */
export class Calls {
  readonly #log: Logger
  readonly #onEnd: (call: EndedCall) => void
  readonly #open = new Set<OpenCall>()
  #count = 0
  #stopping: CroftError | undefined
  #whenIdle: (() => void)[] = []

  constructor(log: Logger, onEnd: (call: EndedCall) => void) {
    this.#log = log
    this.#onEnd = onEnd
  }

  get open(): number {
    return this.#open.size
  }

  /** How many there have been. */
  get total(): number {
    return this.#count
  }

  /** Throws UNAVAILABLE when the server is stopping. Followed by one `end`. */
  begin(method: DescMethod, transport: Transport, from: string): OpenCall {
    if (this.#stopping !== undefined) throw this.#stopping
    this.#count += 1
    const call = new OpenCall(method, this.#count, this.#log, transport, from)
    this.#open.add(call)
    return call
  }

  end(call: OpenCall, outcome: Outcome): void {
    this.#open.delete(call)
    this.#onEnd(call.ended(outcome))
    if (this.#open.size === 0) {
      for (const resolve of this.#whenIdle.splice(0)) resolve()
    }
  }

  /** From now on new calls are refused. */
  refuse(): void {
    this.#stopping = new CroftError('UNAVAILABLE', 'the server is stopping', { reason: 'stopping' })
  }

  /** Tells those that are open to end. */
  abort(): void {
    for (const call of this.#open) call.abort(this.#stopping)
  }

  /** The same to those that are made with a token for which `isOver`. */
  cut(isOver: (tokenId: string) => boolean, reason: Error): void {
    for (const call of this.#open) {
      const tokenId = call.known?.tokenId
      if (tokenId !== undefined && isOver(tokenId)) call.abort(reason)
    }
  }

  idle(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#whenIdle.push(resolve))
  }
}

/** The signal is made when it is first asked for: most calls are over before anybody would. */
export class OpenCall implements Call {
  readonly method: DescMethod
  readonly #from: string
  readonly #startedMs = performance.now()
  readonly #number: number
  readonly #parentLog: Logger
  readonly #transport: Transport
  #controller: AbortController | undefined
  #log: Logger | undefined
  #abortedBy: unknown
  /** Absent until it is known. */
  known: Caller | undefined
  /** The same of what its request needs, and the ids in that. */
  need: Need | undefined
  ids: readonly string[] = []
  made: string | undefined

  constructor(method: DescMethod, number: number, log: Logger, transport: Transport, from: string) {
    this.#from = from
    this.method = method
    this.#number = number
    this.#parentLog = log
    this.#transport = transport
  }

  get caller(): Caller {
    if (this.known === undefined) throw new Error('nobody has asked yet who calls')
    return this.known
  }

  get id(): string {
    return `c${this.#number.toString(36)}`
  }

  get log(): Logger {
    this.#log ??= this.#parentLog.child({
      call: this.id,
      method: this.method.name,
      caller: this.known?.name,
      ...(this.ids.length === 0 ? {} : { ids: this.ids }),
    })
    return this.#log
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#abortedBy !== undefined) this.#controller.abort(this.#abortedBy)
      else if (this.#transport.cancelled) this.#controller.abort(cancelled())
      else this.#transport.once('cancelled', () => this.abort(cancelled()))
    }
    return this.#controller.signal
  }

  ended(outcome: Outcome): EndedCall {
    const { id, method, need, known: caller, ids, made } = this
    const durationMs = performance.now() - this.#startedMs
    return { ...outcome, id, method, need, caller, from: this.#from, ids, made, durationMs }
  }

  abort(reason: unknown): void {
    this.#abortedBy ??= reason
    this.#controller?.abort(this.#abortedBy)
  }
}

function cancelled(): CroftError {
  return new CroftError('CANCELLED', 'the call was cancelled')
}
