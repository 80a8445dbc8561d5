import { createServer, type IncomingMessage, request as requestTo, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type Duplex, pipeline } from 'node:stream'
import type { Limits } from '../config/limits.ts'
import { splitPort } from './host.ts'
import type { Outgoing } from './outgoing.ts'
import { Refusal, type RefusalReason } from './refusal.ts'
import { splice } from './splice.ts'

export interface HttpProxyOptions {
  readonly limits: Limits
  /** Nothing more is waited for from this client before it has what it asked for. */
  readonly onRequest: (client: Duplex) => void
  /** Its request is answered, and it may make another. */
  readonly onAnswered: (client: Duplex) => void
}

/**
 * HTTP by CONNECT, and by requests with a whole URL (RFC 9112, 3.2.2 and 3.2.3). What the client says goes through
 * Node's parser, and out again as another request that is written anew, over a connection of its own: nothing that two
 * parsers could read differently is passed on, and of several requests on one connection each is decided for itself.
 */
export function httpProxy(outgoing: Outgoing, options: HttpProxyOptions): Server {
  const { limits, onRequest, onAnswered } = options
  const server = createServer({ maxHeaderSize: limits.maxProxyHeadBytes, insecureHTTPParser: false })
  const turns = new Turns()
  server.on('request', (request, response) => {
    if (!turns.begin(request.socket, response)) return
    onRequest(request.socket)
    response.once('finish', () => onAnswered(request.socket))
    forward(request, response, outgoing, limits).catch((error: unknown) => refuse(response, error))
  })
  server.on('connect', (request, client: Duplex, head: Buffer) => {
    if (turns.isUnderWay(client)) {
      client.destroy()
      return
    }
    onRequest(client)
    tunnel(request, client, head, outgoing, limits).catch((error: unknown) => refuseTunnel(client, error))
  })
  server.on('clientError', (error: NodeJS.ErrnoException, client: Duplex) => {
    if (client.destroyed || !client.writable) return
    // Not the parser's word: the connection broke.
    if (error.code?.startsWith('HPE_') !== true) {
      client.destroy()
      return
    }
    const tooLarge = error.code === 'HPE_HEADER_OVERFLOW'
    outgoing.malformed(error.message)
    client.end(
      `HTTP/1.1 ${tooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request'}\r\nConnection: close\r\n\r\n`,
    )
    client.resume()
  })
  return server
}

/**
 * One request at a time on a connection, or a program could have more connections made than it has itself. Those that
 * it sends before it has its answer (RFC 9112, 9.3.2) are left out, the connection ends with that answer, and the
 * program makes another one for the rest. Nobody needs many of them.
 */
class Turns {
  readonly #underWay = new WeakMap<Duplex, { readonly response: ServerResponse; leftOut: number }>()

  isUnderWay(client: Duplex): boolean {
    return this.#underWay.has(client)
  }

  begin(client: Duplex, response: ServerResponse): boolean {
    const before = this.#underWay.get(client)
    if (before === undefined) {
      const turn = { response, leftOut: 0 }
      this.#underWay.set(client, turn)
      response.once('close', () => {
        if (turn.leftOut > 0) client.end()
        else this.#underWay.delete(client)
      })
      return true
    }
    before.leftOut += 1
    if (before.leftOut > MAX_LEFT_OUT) client.destroy()
    else if (!before.response.headersSent) before.response.shouldKeepAlive = false
    return false
  }
}

const MAX_LEFT_OUT = 64

async function tunnel(
  { url }: IncomingMessage,
  client: Duplex,
  head: Buffer,
  outgoing: Outgoing,
  limits: Limits,
): Promise<void> {
  const target = splitPort(url ?? '')
  if (target?.port === undefined) throw outgoing.malformed('CONNECT is for host:port')
  const socket = await outgoing.open(target.host, target.port)
  if (client.destroyed) {
    socket.destroy()
    return
  }
  endWhenIdle(socket, limits)
  client.write('HTTP/1.1 200 Connection established\r\n\r\n')
  if (head.length > 0) socket.write(head)
  splice(client, socket)
}

async function forward(
  request: IncomingMessage,
  response: ServerResponse,
  outgoing: Outgoing,
  limits: Limits,
): Promise<void> {
  const url = targetOf(request.url ?? '')
  if (url === undefined)
    throw outgoing.malformed('this is a proxy: it takes requests for http://host/path, and CONNECT')
  const socket = await outgoing.open(url.hostname, url.port === '' ? 80 : Number(url.port))
  if (response.destroyed) {
    socket.destroy()
    return
  }
  endWhenIdle(socket, limits)
  const upstream = requestTo({
    createConnection: () => socket,
    method: request.method,
    path: `${url.pathname}${url.search}`,
    // The URL says whom it is for, whatever the client has in its Host.
    headers: [...endToEnd(request), 'Host', url.host, 'Connection', 'close', ...framing(request)],
    setHost: false,
    maxHeaderSize: limits.maxProxyHeadBytes,
  })
  response.once('close', () => upstream.destroy())
  request.on('error', () => upstream.destroy())
  request.pipe(upstream)
  await new Promise<void>((resolve, reject) => {
    upstream.once('error', reject)
    upstream.once('response', (answer) => {
      try {
        response.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer))
      } catch (error) {
        upstream.destroy()
        reject(error)
        return
      }
      // Where it breaks half-way so does what the client gets.
      pipeline(answer, response, () => resolve())
    })
  })
}

/** Of a request-line with a whole URL. Its host is parsed again where it is decided on. */
function targetOf(text: string): URL | undefined {
  if (!/^http:\/\/[^/]/i.test(text) || !URL.canParse(text)) return undefined
  const url = new URL(text)
  // A name before an `@` makes one host look like another.
  return url.username === '' && url.password === '' ? url : undefined
}

/** Of one connection, and not to be passed on (RFC 9110, 7.6.1). */
const HOP_BY_HOP = new Set(
  ['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection'].concat(
    ...['te', 'trailer', 'transfer-encoding', 'upgrade', 'host', 'expect'],
  ),
)

function endToEnd({ rawHeaders, headers }: IncomingMessage): string[] {
  const named = new Set((headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase()))
  return rawHeaders.flatMap((name, at) => {
    if (at % 2 === 1) return []
    const lower = name.toLowerCase()
    return HOP_BY_HOP.has(lower) || named.has(lower) ? [] : [name, rawHeaders[at + 1] ?? '']
  })
}

/** A length goes along as it is; a body without one goes in chunks of our own making. */
function framing({ headers }: IncomingMessage): string[] {
  return headers['transfer-encoding'] === undefined ? [] : ['Transfer-Encoding', 'chunked']
}

/** Bytes either way keep it alive. */
export function endWhenIdle(socket: Socket, limits: Limits): void {
  socket.setTimeout(limits.proxyIdleMs, () => socket.destroy())
}

const STATUS_OF: Readonly<Record<RefusalReason, readonly [number, string]>> = {
  not_allowed: [403, 'Forbidden'],
  private_address: [403, 'Forbidden'],
  malformed: [400, 'Bad Request'],
  unresolved: [502, 'Bad Gateway'],
  unreachable: [502, 'Bad Gateway'],
}

function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const [status, text] = tellOf(error)
  response.writeHead(status[0], status[1], { 'Content-Type': 'text/plain', Connection: 'close' }).end(text)
}

function refuseTunnel(client: Duplex, error: unknown): void {
  const [[code, phrase], text] = tellOf(error)
  const length = Buffer.byteLength(text)
  client.end(
    `HTTP/1.1 ${code} ${phrase}\r\nContent-Type: text/plain\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${text}`,
  )
  client.resume()
}

function tellOf(error: unknown): readonly [readonly [number, string], string] {
  if (error instanceof Refusal) return [STATUS_OF[error.reason], `croft: ${error.message}\n`]
  return [[502, 'Bad Gateway'], 'croft: the connection broke\n']
}
