import type { IncomingMessage, ServerResponse } from 'node:http'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import type { DescField, DescMethod, DescService, Message } from '@bufbuild/protobuf'
import type { Logger } from 'pino'
import { PEER_HEADER } from '../access/doors.ts'
import { CroftError } from '../errors/croft-error.ts'
import { type InnerCall, InnerCalls } from './inner-call.ts'
import { openApi } from './openapi.ts'
import { type Match, Routes } from './routes.ts'
import { Refusals } from './status.ts'
import { answersContents, contentsOf, isCallable, jsonOf, requestOf } from './transcode.ts'

export interface GatewayOptions {
  readonly services: readonly DescService[]
  /** Takes a connection of gRPC, as one that came in by this door. */
  readonly accept: (connection: Duplex) => void
  /** Of a body of JSON. */
  readonly maxBodyBytes: number
  /** Origins whose pages may call; none unless told. */
  readonly allowedOrigins: readonly string[]
  readonly log: Logger
}

/** HTTP and JSON to gRPC, from the same descriptors: `docs/spec/http.md`. */
export class Gateway implements Disposable {
  readonly #options: GatewayOptions
  readonly #routes: Routes
  readonly #refusals: Refusals
  readonly #calls: InnerCalls
  #document: string | undefined

  constructor(options: GatewayOptions) {
    this.#options = options
    this.#routes = new Routes(options.services)
    this.#refusals = new Refusals(options.services)
    this.#calls = new InnerCalls(options.accept)
  }

  /** Never rejects: what goes wrong is the answer. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let call: InnerCall | undefined
    response.once('close', () => call?.cancel())
    try {
      this.#admitOrigin(request, response)
      if (request.method === 'OPTIONS') return void response.writeHead(204).end()
      const url = new URL(request.url ?? '/', 'http://croft')
      if (request.method === 'GET' && url.pathname === '/openapi.json') return this.#sendDocument(response)
      const match = this.#match(request, response, url.pathname)
      const messages = await this.#messages(match, request, url.searchParams)
      call = this.#calls.begin(match.route.method, passedOn(request))
      await Promise.all([sendAll(call, messages, request), this.#answer(match.route.method, call, response)])
    } catch (error) {
      call?.cancel()
      this.#refuse(error, response)
    }
  }

  [Symbol.dispose](): void {
    this.#calls[Symbol.dispose]()
  }

  /**
   * A page that somebody looks at can make his browser call us. One of another origin may not, and without a token nobody
   * may who calls us by a name that could be anybody's (DNS rebinding).
   */
  #admitOrigin(request: IncomingMessage, response: ServerResponse): void {
    const { origin, host = '', authorization } = request.headers
    if (authorization === undefined && !isOwnName(host)) {
      throw new CroftError('PERMISSION_DENIED', `without a token this server answers to addresses and localhost only`)
    }
    if (origin === undefined) return
    if (!this.#options.allowedOrigins.includes(origin)) {
      throw new CroftError(
        'PERMISSION_DENIED',
        `pages of ${origin} may not call this server (setting http.allowedOrigins)`,
      )
    }
    response.setHeader('access-control-allow-origin', origin)
    response.setHeader('vary', 'origin')
    if (request.method !== 'OPTIONS') return
    response.setHeader('access-control-allow-methods', 'GET, POST, PUT, DELETE')
    response.setHeader('access-control-allow-headers', 'authorization, content-type, grpc-timeout')
  }

  #match(request: IncomingMessage, response: ServerResponse, path: string): Match {
    const found = this.#routes.find(request.method ?? '', path)
    if (found === undefined) throw new CroftError('NOT_FOUND', `there is nothing at ${path}; see /openapi.json`)
    if (!('route' in found)) {
      response.setHeader('allow', found.join(', '))
      throw new HttpError(
        405,
        new CroftError('UNIMPLEMENTED', `${path} has ${found.join(', ')}, not ${request.method}`),
      )
    }
    if (!isCallable(found.route.method)) {
      const { name } = found.route.method
      throw new CroftError('UNIMPLEMENTED', `${name} streams in a way that HTTP does not; call it by gRPC`)
    }
    return found
  }

  async #messages(match: Match, request: IncomingMessage, query: URLSearchParams): Promise<AsyncIterable<Message>> {
    const { method, body } = match.route
    if (body === 'contents')
      return contents(contentsOf(method, match.fields, query, request.headers['content-length']), request)
    const json = body === 'json' ? await bodyOf(request, this.#options.maxBodyBytes) : Buffer.alloc(0)
    return only(requestOf(match, query, json))
  }

  async #answer(method: DescMethod, call: InnerCall, response: ServerResponse): Promise<void> {
    const pieces = answersContents(method)
    if (pieces !== undefined) return sendContents(pieces, call, response)
    if (method.methodKind === 'server_streaming') return this.#sendEvents(method, call, response)
    for await (const message of call.answers()) {
      response.writeHead(200, JSON_TYPE).end(jsonOf(method.output, message))
    }
  }

  /** Server-sent events: one for each message, and one that says how the call ended. */
  async #sendEvents(method: DescMethod, call: InnerCall, response: ServerResponse): Promise<void> {
    const begin = () => {
      if (!response.headersSent)
        response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    }
    try {
      for await (const message of call.answers()) {
        begin()
        await write(response, `data: ${jsonOf(method.output, message)}\n\n`)
      }
      begin()
      response.end('event: end\ndata: {}\n\n')
    } catch (error) {
      const refusal = this.#refusals.of(error)
      if (!response.headersSent || refusal === undefined) throw error
      response.end(`event: error\ndata: ${JSON.stringify(refusal.body)}\n\n`)
    }
  }

  #sendDocument(response: ServerResponse): void {
    this.#document ??= JSON.stringify(openApi(this.#routes.all))
    response.writeHead(200, JSON_TYPE).end(this.#document)
  }

  #refuse(error: unknown, response: ServerResponse): void {
    const cause = error instanceof HttpError ? error.cause : error
    const refusal = this.#refusals.of(cause)
    if (refusal === undefined)
      this.#options.log.error({ err: error }, 'a request of HTTP failed for a reason that was not foreseen')
    // What was begun cannot be taken back: the client must not take it for the whole.
    if (response.headersSent) return void response.destroy()
    const { httpStatus, body } = refusal ?? {
      httpStatus: 500,
      body: { code: 13, message: 'the server failed', details: [] },
    }
    const headers = { ...JSON_TYPE, connection: 'close' }
    response.writeHead(error instanceof HttpError ? error.httpStatus : httpStatus, headers).end(JSON.stringify(body))
  }
}

/** Of contents, in one message: less than any limit of one may be. */
const PIECE_BYTES = 32 * 1024

const JSON_TYPE = { 'content-type': 'application/json' }

/** Where the code alone would give another status. */
class HttpError extends Error {
  readonly httpStatus: number
  override readonly cause: CroftError

  constructor(httpStatus: number, cause: CroftError) {
    super(cause.message)
    this.httpStatus = httpStatus
    this.cause = cause
  }
}

function isOwnName(host: string): boolean {
  const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
  return name === '' || name === 'localhost' || isIP(name) !== 0
}

/** Headers that mean the same to a call of gRPC, and who it is for. */
function passedOn(request: IncomingMessage): Record<string, string> {
  const names = ['authorization', 'grpc-timeout'] as const
  const { remoteAddress = 'unknown', remotePort } = request.socket
  return {
    ...Object.fromEntries(
      names.flatMap((name) => (request.headers[name] === undefined ? [] : [[name, String(request.headers[name])]])),
    ),
    [PEER_HEADER]: `${remoteAddress}:${remotePort}`,
  }
}

async function bodyOf(request: IncomingMessage, most: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > most)
      throw new HttpError(413, new CroftError('RESOURCE_EXHAUSTED', `the body has more than ${most} bytes`))
    chunks.push(chunk)
  }
  const type = request.headers['content-type'] ?? ''
  if (bytes > 0 && !/^application\/json\s*(;|$)/i.test(type)) {
    throw new HttpError(415, new CroftError('INVALID_ARGUMENT', 'the body must be application/json'))
  }
  return Buffer.concat(chunks)
}

async function* only(message: Message): AsyncGenerator<Message> {
  yield message
}

async function* contents(parts: ReturnType<typeof contentsOf>, request: IncomingMessage): AsyncGenerator<Message> {
  yield parts.first
  for await (const chunk of request as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) yield parts.piece(chunk.subarray(at, at + PIECE_BYTES))
  }
  // One that was cut must not look like one that is whole.
  if (!request.complete) throw new CroftError('CANCELLED', 'the client has gone in the middle of its contents')
}

async function sendAll(call: InnerCall, messages: AsyncIterable<Message>, request: IncomingMessage): Promise<void> {
  for await (const message of messages) await call.send(message)
  call.end()
  request.resume()
}

async function sendContents(field: DescField, call: InnerCall, response: ServerResponse): Promise<void> {
  const begin = () => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/octet-stream' })
  }
  for await (const message of call.answers()) {
    begin()
    await write(response, (message as Message & Record<string, Uint8Array>)[field.localName] ?? '')
  }
  begin()
  response.end()
}

/** Resolves when there is room for more, or nobody reads any more. */
function write(response: ServerResponse, data: string | Uint8Array): Promise<void> {
  if (response.write(data) || response.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    response.once('drain', resolve)
    response.once('close', resolve)
  })
}
