import { readFileSync } from 'node:fs'
import { create, type DescMessage, type DescMethod, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf'
import type { ServiceDefinition } from '@grpc/grpc-js'
import { Client, credentials, Metadata } from '@grpc/grpc-js'
import { serviceDefinition } from '../../proto/index.ts'
import { throwIfAborted } from '../abort.ts'
import type { TlsOptions } from '../connect/address.ts'
import { InvalidArgumentError } from '../errors.ts'
import { fromStatus } from './from-status.ts'

/** The largest message either way; the chunks of streams are far smaller. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024
/** For calls that no command or transfer hides behind. */
const DEFAULT_DEADLINE_MS = 60_000

const KEEPALIVE_MS = 60_000
const KEEPALIVE_TIMEOUT_MS = 20_000

export interface ConnectionOptions {
  /** `unix:///path`, or `host:port`, with `https://` before it for TLS. */
  readonly address: string
  readonly token?: string | undefined
  readonly tls?: TlsOptions
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** Milliseconds; `null` is no limit. Default: 60 s for a unary call, no limit for a stream. */
  readonly deadlineMs?: number | null
}

type Method<K extends DescMethod['methodKind'], I extends DescMessage, O extends DescMessage> = DescMethod & {
  methodKind: K
  input: I
  output: O
}

/**
 * One channel to a server, with calls typed by the descriptors of their methods. An idle connection does not
 * keep the process alive. Every failure is a `CroftError`.
 */
export class Connection implements Disposable {
  readonly address: string
  readonly #client: Client
  readonly #metadata = new Metadata()

  constructor(options: ConnectionOptions) {
    this.address = options.address
    const secure = options.address.startsWith('https://')
    this.#client = new Client(
      options.address.replace(/^https?:\/\//, ''),
      secure ? tlsCredentials(options.tls) : credentials.createInsecure(),
      {
        'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
        'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
        // Only while calls run: a server counts pings on an idle connection as abuse.
        'grpc.keepalive_time_ms': KEEPALIVE_MS,
        'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
        'grpc.keepalive_permit_without_calls': 0,
        // A call is not known to be harmless to repeat, and keeping its messages for that costs memory.
        'grpc.enable_retries': 0,
        'grpc.service_config_disable_resolution': 1,
        // A unix socket has no name of a host, and some servers refuse its path as one.
        ...(options.address.startsWith('unix:') ? { 'grpc.default_authority': 'localhost' } : {}),
      },
    )
    if (options.token !== undefined) this.#metadata.set('authorization', `Bearer ${options.token}`)
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: Method<'unary', I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const { path, requestSerialize, responseDeserialize } = wireOf(method)
    return new Promise((resolve, reject) => {
      throwIfAborted(options.signal)
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        message(method.input, request),
        this.#metadata,
        deadline(options, DEFAULT_DEADLINE_MS),
        (error, response) => {
          options.signal?.removeEventListener('abort', cancel)
          if (error !== null) reject(fromStatus(error, { address: this.address, signal: options.signal }))
          else resolve(response as MessageShape<O>)
        },
      )
      const cancel = () => call.cancel()
      options.signal?.addEventListener('abort', cancel, { once: true })
    })
  }

  /** The call begins with the first `next()` and is cancelled by `return()`. Read no faster than it is taken. */
  async *serverStream<I extends DescMessage, O extends DescMessage>(
    method: Method<'server_streaming', I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    const { path, requestSerialize, responseDeserialize } = wireOf(method)
    throwIfAborted(options.signal)
    const call = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      message(method.input, request),
      this.#metadata,
      deadline(options, null),
    )
    yield* this.#responses<O>(call, options)
  }

  /** `requests` is closed when the server answers before its end. */
  async clientStream<I extends DescMessage, O extends DescMessage>(
    method: Method<'client_streaming', I, O>,
    requests: AsyncIterable<MessageInitShape<I>>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const { path, requestSerialize, responseDeserialize } = wireOf(method)
    throwIfAborted(options.signal)
    const answered = new AbortController()
    let writing: Promise<void> | undefined
    const answer = new Promise<MessageShape<O>>((resolve, reject) => {
      const call = this.#client.makeClientStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        this.#metadata,
        deadline(options, null),
        (error, response) => {
          answered.abort()
          if (error !== null) reject(fromStatus(error, { address: this.address, signal: options.signal }))
          else resolve(response as MessageShape<O>)
        },
      )
      const cancel = () => call.cancel()
      options.signal?.addEventListener('abort', cancel, { once: true })
      answered.signal.addEventListener('abort', () => options.signal?.removeEventListener('abort', cancel))
      writing = writeAll(call, method.input, requests, answered.signal).catch((reason: unknown) => {
        // The caller's own source broke: that is the error to tell, and the server must not take half of it.
        call.cancel()
        reject(reason)
      })
    })
    try {
      return await answer
    } finally {
      await writing
    }
  }

  /** As `serverStream`; `requests` is read as fast as the server takes it, and closed when the call is over. */
  async *bidi<I extends DescMessage, O extends DescMessage>(
    method: Method<'bidi_streaming', I, O>,
    requests: AsyncIterable<MessageInitShape<I>>,
    options: CallOptions = {},
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    const { path, requestSerialize, responseDeserialize } = wireOf(method)
    throwIfAborted(options.signal)
    const call = this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      this.#metadata,
      deadline(options, null),
    )
    const over = new AbortController()
    let broken: { reason: unknown } | undefined
    const writing = writeAll(call, method.input, requests, over.signal).catch((reason: unknown) => {
      broken = { reason }
      call.cancel()
    })
    try {
      yield* this.#responses<O>(call, options)
    } catch (error) {
      throw broken === undefined ? error : broken.reason
    } finally {
      over.abort()
      await writing
    }
  }

  /** Rejects with a `ServerUnreachableError` where nothing answers within the time. */
  ready(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.waitForReady(Date.now() + timeoutMs, (error) => {
        if (error === undefined) resolve()
        else reject(fromStatus(Object.assign(error, { code: 14, details: error.message }), { address: this.address }))
      })
    })
  }

  close(): void {
    this.#client.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async *#responses<O extends DescMessage>(
    call: AsyncIterable<unknown> & { cancel(): void; on(event: 'error', listener: () => void): unknown },
    options: CallOptions,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    const cancel = () => call.cancel()
    options.signal?.addEventListener('abort', cancel, { once: true })
    // The status of a call that was cancelled here comes as an 'error' when nobody iterates any more.
    call.on('error', () => undefined)
    try {
      for await (const response of call) yield response as MessageShape<O>
    } catch (error) {
      throw fromStatus(error, { address: this.address, signal: options.signal })
    } finally {
      options.signal?.removeEventListener('abort', cancel)
      call.cancel()
    }
  }
}

function tlsCredentials({ ca, cert, key }: TlsOptions = {}) {
  return credentials.createSsl(pem(ca, 'ca'), pem(key, 'key'), pem(cert, 'cert'))
}

function pem(file: string | undefined, name: string): Buffer | null {
  if (file === undefined) return null
  try {
    return readFileSync(file)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new InvalidArgumentError(`server.tls.${name} cannot be read: ${why}`, `server.tls.${name}`, { cause: error })
  }
}

const definitions = new WeakMap<object, ServiceDefinition>()

function wireOf(method: DescMethod) {
  let definition = definitions.get(method.parent)
  if (definition === undefined) {
    definition = serviceDefinition(method.parent)
    definitions.set(method.parent, definition)
  }
  const wire = definition[method.localName]
  if (wire === undefined)
    throw new InvalidArgumentError(`No method ${method.name} in ${method.parent.typeName}`, 'method')
  return wire
}

/** Two shapes of one type: the descriptors do not carry the relation through the generic parameter. */
function message<I extends DescMessage>(schema: I, init: MessageInitShape<I>): object {
  return create(schema, init)
}

function deadline(options: CallOptions, defaultMs: number | null): { deadline?: number } {
  const ms = options.deadlineMs === undefined ? defaultMs : options.deadlineMs
  return ms === null ? {} : { deadline: Date.now() + ms }
}

/** Ends early, and closes the source, when `over` fires: the other side has answered. */
async function writeAll<I extends DescMessage>(
  sink: MessageSink,
  schema: I,
  requests: AsyncIterable<MessageInitShape<I>>,
  over: AbortSignal,
): Promise<void> {
  const iterator = requests[Symbol.asyncIterator]()
  // One waker that is replaced: racing against one promise for ever would add a reaction to it per message.
  let wake: () => void = () => undefined
  over.addEventListener('abort', () => wake(), { once: true })
  const unlessOver = <T>(wait: (resolve: (value: T) => void, reject: (reason: unknown) => void) => void) =>
    new Promise<T | undefined>((resolve, reject) => {
      wake = () => resolve(undefined)
      if (over.aborted) wake()
      else wait(resolve, reject)
    })

  for (;;) {
    const next = await unlessOver<IteratorResult<MessageInitShape<I>>>((resolve, reject) => {
      iterator.next().then(resolve, reject)
    })
    if (next === undefined) break
    if (next.done === true) {
      sink.end()
      return
    }
    if (!sink.write(message(schema, next.value))) {
      await unlessOver<void>((resolve) => sink.once('drain', resolve))
    }
  }
  // Not awaited, and its failure is nobody's: the call has its answer, and a source that waits for a key
  // stroke returns only after the next one.
  iterator.return?.().catch(() => undefined)
}

interface MessageSink {
  write(message: object): boolean
  end(): void
  once(event: 'drain', listener: () => void): unknown
}
