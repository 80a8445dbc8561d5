import { randomUUID } from 'node:crypto'
import { create, type DescMethod, type DescService, type MessageInitShape } from '@bufbuild/protobuf'
import {
  Metadata,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import type { Caller } from '../access/caller.ts'
import { decisionOf } from '../access/decisions.ts'
import type { Door, Gate } from '../access/gate.ts'
import type { Check, Guard } from '../access/guard.ts'
import type { CroftError } from '../errors/croft-error.ts'
import { toCroftError } from '../errors/to-croft-error.ts'
import { trailersOf } from '../errors/trailers.ts'
import type { Calls, OpenCall, Outcome } from './calls.ts'
import type { Handlers } from './handlers.ts'

export interface AdapterDependencies {
  readonly calls: Calls
  readonly gate: Pick<Gate, 'admit'>
  readonly guard: Pick<Guard, 'of'>
}

/**
 * Handlers as grpc-js wants them. Here and nowhere else callers are told apart, what they may do is decided, and answers
 * are sent: messages with regard for a client that reads slowly, and whatever is thrown as a status.
 */
export function implement<S extends DescService>(
  service: S,
  handlers: Handlers<S>,
  door: Door,
  { calls, gate, guard }: AdapterDependencies,
): UntypedServiceImplementation {
  const implementation: UntypedServiceImplementation = {}
  for (const method of service.methods) {
    // The one place where the types of the methods are given up: grpc-js knows no more than "an object".
    const handler = (handlers as unknown as Record<string, AnyHandler>)[method.localName]
    if (handler === undefined) throw new Error(`no handler for ${service.typeName}.${method.name}`)
    const isForAll = decisionOf(method).needs === 'nothing'
    const begin = (transport: Transport): OpenCall => {
      const peer = peerOf(transport, door)
      const call = calls.begin(method, transport, `${door.name} ${peer}`)
      try {
        call.known = isForAll ? NOBODY : gate.admit(transport.metadata, door, peer)
      } catch (error) {
        calls.end(call, outcomeOf(error, call))
        throw error
      }
      return call
    }
    implementation[method.localName] = adapt({ method, handler, calls, begin, check: guard.of(method) })
  }
  return implementation
}

/** Has nothing. */
const NOBODY: Caller = { owner: '', role: 'read-only', name: 'anyone' }

type Init = MessageInitShape<DescMethod['output']>
// biome-ignore lint/suspicious/noExplicitAny: the shapes of four kinds of method at once
type AnyHandler = (request: any, call: OpenCall) => any

type Unary = ServerUnaryCall<object, object>
type RequestStream = ServerReadableStream<object, object>
type AnswerStream = ServerWritableStream<object, object>
type Duplex = ServerDuplexStream<object, object>
type Transport = Unary | RequestStream | AnswerStream | Duplex

function peerOf(transport: Transport, { peerHeader }: Door): string {
  return peerHeader === undefined ? transport.getPeer() : String(transport.metadata.get(peerHeader)[0] ?? 'unknown')
}

interface Served {
  readonly method: DescMethod
  readonly handler: AnyHandler
  readonly calls: Calls
  /** Throws where nobody may come in like that; otherwise followed by one `calls.end`. */
  readonly begin: (transport: Transport) => OpenCall
  readonly check: Check
}

function adapt(served: Served) {
  const { methodKind } = served.method
  const ofRequest =
    methodKind === 'client_streaming' || methodKind === 'bidi_streaming'
      ? (transport: Transport, call: OpenCall) => requestsOf(transport as RequestStream | Duplex, call, served.check)
      : (transport: Transport, call: OpenCall) => {
          const { request } = transport as Unary | AnswerStream
          checkFor(call, served.check, request)
          return request
        }
  return methodKind === 'server_streaming' || methodKind === 'bidi_streaming'
    ? (transport: AnswerStream | Duplex) => void serveStream(served, transport, ofRequest)
    : (transport: Unary | RequestStream, reply: sendUnaryData<object>) => serveOne(served, transport, ofRequest, reply)
}

/** What a handler gets as its request. Throws what the caller may not do. */
type OfRequest = (transport: Transport, call: OpenCall) => object

function serveOne(
  { method, handler, calls, begin }: Served,
  transport: Unary | RequestStream,
  ofRequest: OfRequest,
  reply: sendUnaryData<object>,
): void {
  let call: OpenCall | undefined
  const fail = (error: unknown) => {
    if (call !== undefined) calls.end(call, outcomeOf(error, call))
    reply({ ...failure(error, call), name: 'ServiceError', message: '' })
  }
  try {
    call = begin(transport)
    const opened = call
    ;(handler(ofRequest(transport, opened), opened) as Promise<Init>)
      .then((answer) => {
        const message = create(method.output, answer)
        opened.made = idIn(message)
        calls.end(opened, { code: 'OK' })
        reply(null, message)
      })
      .catch(fail)
  } catch (error) {
    fail(error)
  }
}

async function serveStream(
  { method, handler, calls, begin }: Served,
  transport: AnswerStream | Duplex,
  ofRequest: OfRequest,
): Promise<void> {
  let call: OpenCall | undefined
  let outcome: Outcome = { code: 'OK' }
  try {
    call = begin(transport)
    for await (const answer of handler(ofRequest(transport, call), call) as AsyncIterable<Init>) {
      if (transport.cancelled) {
        outcome = { code: 'CANCELLED' }
        break
      }
      if (!transport.write(create(method.output, answer))) await writable(transport, call.signal)
      call.signal.throwIfAborted()
    }
    transport.end()
  } catch (error) {
    outcome = outcomeOf(error, call)
    // grpc-js turns an error event into the status and the trailers of the answer.
    if (!transport.destroyed) transport.emit('error', failure(error, call))
  } finally {
    if (call !== undefined) calls.end(call, outcome)
  }
}

/** What it asks for is on its record before it is decided about. */
function checkFor(call: OpenCall, check: Check, request: object): void {
  check(request, call.caller, ({ need, ids }) => {
    call.need ??= need
    if (ids.length > 0) call.ids = ids
  })
}

function outcomeOf(error: unknown, call: OpenCall | undefined): Outcome {
  const known = knownOf(error, call)
  return known === undefined ? { code: 'INTERNAL' } : { code: known.code, reason: known.reason }
}

/** Of an answer that is one thing. */
function idIn(message: object): string | undefined {
  const thing =
    'token' in message && typeof message.token === 'object' && message.token !== null ? message.token : message
  return 'id' in thing && typeof thing.id === 'string' ? thing.id : undefined
}

/** Resolves when there is room for more, rejects when nobody will read it. */
function writable(transport: NodeJS.EventEmitter, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = () => {
      transport.off('drain', onDrain)
      signal.removeEventListener('abort', onAbort)
    }
    const onDrain = () => {
      done()
      resolve()
    }
    const onAbort = () => {
      done()
      reject(signal.reason)
    }
    transport.once('drain', onDrain)
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
  })
}

/**
 * A handler that stops reading early must not tear down a duplex stream: its answers go through the same
 * object. A client that is cut off ends the iteration with an error, never as if it had finished; so does one whose
 * call is to end, and who sends nothing.
 */
async function* requestsOf(
  transport: RequestStream | Duplex,
  call: OpenCall,
  check: Check,
): AsyncGenerator<object, undefined> {
  const requests = transport.iterator({ destroyOnReturn: false }) as AsyncIterator<object>
  for (;;) {
    const { done, value } = await unlessAborted(requests.next(), call.signal)
    if (done === true) break
    checkFor(call, check, value)
    yield value
  }
  // One that was cut while nobody read it ends like one that is whole.
  if (transport.cancelled) throw new Error('the client has gone in the middle of its requests')
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

interface Failure {
  readonly code: status
  readonly details: string
  readonly metadata: Metadata
}

function failure(error: unknown, call: OpenCall | undefined): Failure {
  const known = knownOf(error, call)
  if (known === undefined) return unforeseen(error, call)
  call?.log.debug({ code: known.code, reason: known.reason, cause: known.cause }, known.message)
  try {
    return { code: status[known.code], details: known.message, metadata: trailersOf(known) }
  } catch (fault) {
    return unforeseen(fault, call)
  }
}

function knownOf(error: unknown, call: OpenCall | undefined): CroftError | undefined {
  return toCroftError(error) ?? (call?.signal.aborted ? toCroftError(call.signal.reason) : undefined)
}

function unforeseen(error: unknown, call: OpenCall | undefined): Failure {
  const fault = randomUUID()
  call?.log.error({ err: error, fault }, 'a call failed for a reason that was not foreseen')
  return {
    code: status.INTERNAL,
    details: `the server failed; its log says why under fault ${fault}`,
    metadata: new Metadata(),
  }
}
