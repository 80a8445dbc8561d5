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
import { toCroftError } from '../errors/to-croft-error.ts'
import { trailersOf } from '../errors/trailers.ts'
import type { Calls, OpenCall } from './calls.ts'
import type { Handlers } from './handlers.ts'

/**
 * Handlers as grpc-js wants them. Here and nowhere else answers are sent: messages with regard for a client
 * that reads slowly, and whatever is thrown as a status.
 */
export function implement<S extends DescService>(
  service: S,
  handlers: Handlers<S>,
  calls: Calls,
): UntypedServiceImplementation {
  const implementation: UntypedServiceImplementation = {}
  for (const method of service.methods) {
    // The one place where the types of the methods are given up: grpc-js knows no more than "an object".
    const handler = (handlers as unknown as Record<string, AnyHandler>)[method.localName]
    if (handler === undefined) throw new Error(`no handler for ${service.typeName}.${method.name}`)
    implementation[method.localName] = adapt(method, handler, calls)
  }
  return implementation
}

type Init = MessageInitShape<DescMethod['output']>
// biome-ignore lint/suspicious/noExplicitAny: the shapes of four kinds of method at once
type AnyHandler = (request: any, call: OpenCall) => any

function adapt(method: DescMethod, handler: AnyHandler, calls: Calls) {
  const requestStream = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming'
  const responseStream = method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming'
  return responseStream
    ? (transport: ServerWritableStream<object, object> | ServerDuplexStream<object, object>) => {
        const request = requestStream
          ? requestsOf(transport as ServerDuplexStream<object, object>)
          : requestOf(transport)
        void serveStream(method, handler, calls, transport, request)
      }
    : (
        transport: ServerUnaryCall<object, object> | ServerReadableStream<object, object>,
        reply: sendUnaryData<object>,
      ) => {
        const request = requestStream
          ? requestsOf(transport as ServerReadableStream<object, object>)
          : requestOf(transport)
        serveOne(method, handler, calls, transport, request, reply)
      }
}

function serveOne(
  method: DescMethod,
  handler: AnyHandler,
  calls: Calls,
  transport: ServerUnaryCall<object, object> | ServerReadableStream<object, object>,
  request: unknown,
  reply: sendUnaryData<object>,
): void {
  let call: OpenCall | undefined
  const fail = (error: unknown) => {
    reply({ ...failure(error, call), name: 'ServiceError', message: '' })
    if (call !== undefined) calls.end(call)
  }
  try {
    call = calls.begin(method.name, transport)
    const opened = call
    ;(handler(request, opened) as Promise<Init>)
      .then((answer) => {
        reply(null, create(method.output, answer))
        calls.end(opened)
      })
      .catch(fail)
  } catch (error) {
    fail(error)
  }
}

async function serveStream(
  method: DescMethod,
  handler: AnyHandler,
  calls: Calls,
  transport: ServerWritableStream<object, object> | ServerDuplexStream<object, object>,
  request: unknown,
): Promise<void> {
  let call: OpenCall | undefined
  try {
    call = calls.begin(method.name, transport)
    for await (const answer of handler(request, call) as AsyncIterable<Init>) {
      if (transport.cancelled) break
      if (!transport.write(create(method.output, answer))) await writable(transport, call.signal)
      call.signal.throwIfAborted()
    }
    transport.end()
  } catch (error) {
    // grpc-js turns an error event into the status and the trailers of the answer.
    if (!transport.destroyed) transport.emit('error', failure(error, call))
  } finally {
    if (call !== undefined) calls.end(call)
  }
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

function requestOf(transport: unknown): object {
  return (transport as ServerUnaryCall<object, object>).request
}

/**
 * A handler that stops reading early must not tear down a duplex stream: its answers go through the same
 * object. A client that is cut off ends the iteration with an error, never as if it had finished.
 */
async function* requestsOf(
  transport: ServerReadableStream<object, object> | ServerDuplexStream<object, object>,
): AsyncGenerator<object> {
  yield* transport.iterator({ destroyOnReturn: false })
  // One that was cut while nobody read it ends like one that is whole.
  if (transport.cancelled) throw new Error('the client has gone in the middle of its requests')
}

interface Failure {
  readonly code: status
  readonly details: string
  readonly metadata: Metadata
}

function failure(error: unknown, call: OpenCall | undefined): Failure {
  const known = toCroftError(error) ?? (call?.signal.aborted ? toCroftError(call.signal.reason) : undefined)
  if (known === undefined) return unforeseen(error, call)
  call?.log.debug({ code: known.code, reason: known.reason, cause: known.cause }, known.message)
  try {
    return { code: status[known.code], details: known.message, metadata: trailersOf(known) }
  } catch (fault) {
    return unforeseen(fault, call)
  }
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
