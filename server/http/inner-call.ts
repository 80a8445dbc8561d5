import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2'
import type { Duplex } from 'node:stream'
import { type DescMethod, fromBinary, type Message, toBinary } from '@bufbuild/protobuf'
import { BinaryReader } from '@bufbuild/protobuf/wire'
import { AnySchema } from '@bufbuild/protobuf/wkt'
import { duplexPair } from './duplex-pair.ts'

/** How a call ended, where it did not end well: what its trailers say. */
export class CallFailure extends Error {
  readonly code: number
  readonly field: string | undefined
  readonly reason: string | undefined
  readonly details: readonly Any[]

  constructor(trailers: IncomingHttpHeaders) {
    super(decodeURIComponent(String(trailers['grpc-message'] ?? '')))
    this.code = Number(trailers['grpc-status'] ?? UNKNOWN)
    this.field = trailers['croft-field'] === undefined ? undefined : String(trailers['croft-field'])
    this.reason = trailers['croft-reason'] === undefined ? undefined : String(trailers['croft-reason'])
    this.details = detailsOf(trailers['grpc-status-details-bin'])
  }
}

type Any = ReturnType<typeof anyOf>
const UNKNOWN = 2

export interface InnerCall {
  /** Sends a message. Resolves when there is room for another. */
  send(message: Message): Promise<void>
  /** No more messages. */
  end(): void
  /** Throws a `CallFailure`. */
  answers(): AsyncGenerator<Message>
  cancel(): void
}

/**
 * Calls of gRPC to this very process, over a connection that is none of the system's: HTTP and gRPC share one way in, and
 * what is decided there about who may do what is decided once.
 */
export class InnerCalls implements Disposable {
  readonly #accept: (connection: Duplex) => void
  #session: ClientHttp2Session | undefined

  constructor(accept: (connection: Duplex) => void) {
    this.#accept = accept
  }

  begin(method: DescMethod, headers: Readonly<Record<string, string>>): InnerCall {
    const stream = this.#open().request({
      ':method': 'POST',
      ':path': `/${method.parent.typeName}/${method.name}`,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    })
    const ended = endOf(stream)
    return {
      async send(message) {
        const body = toBinary(method.input, message)
        const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + body.length)
        frame.writeUInt8(0, 0)
        frame.writeUInt32BE(body.length, 1)
        frame.set(body, FRAME_HEADER_BYTES)
        if (!stream.write(frame)) await Promise.race([new Promise((resolve) => stream.once('drain', resolve)), ended])
      },
      end: () => stream.end(),
      async *answers() {
        for await (const body of framesOf(stream)) yield fromBinary(method.output, body)
        const trailers = await ended
        if (trailers['grpc-status'] !== '0') throw new CallFailure(trailers)
      },
      cancel: () => stream.close(constants.NGHTTP2_CANCEL),
    }
  }

  #open(): ClientHttp2Session {
    if (this.#session !== undefined && !this.#session.closed && !this.#session.destroyed) return this.#session
    const [near, far] = duplexPair()
    this.#accept(far)
    const session = connect('http://croft', {
      createConnection: () => near,
      settings: { initialWindowSize: WINDOW_BYTES },
    })
    // One slow reader must not hold the others up: each call's own window does that for it.
    session.on('connect', () => session.setLocalWindowSize(SESSION_WINDOW_BYTES))
    session.on('error', () => session.destroy())
    this.#session = session
    return session
  }

  [Symbol.dispose](): void {
    this.#session?.destroy()
  }
}

/** A compressed flag, always 0 here, and the length of the message. */
const FRAME_HEADER_BYTES = 5
const WINDOW_BYTES = 1024 * 1024
const SESSION_WINDOW_BYTES = 2 ** 31 - 1

/** What came after the last message; a call that failed at once has only headers. */
function endOf(stream: ClientHttp2Stream): Promise<IncomingHttpHeaders> {
  return new Promise((resolve) => {
    let last: IncomingHttpHeaders = { 'grpc-status': '14', 'grpc-message': 'the server ended the connection' }
    const take = (headers: IncomingHttpHeaders) => {
      if (headers['grpc-status'] !== undefined) last = headers
    }
    stream.on('response', take)
    stream.on('trailers', take)
    stream.on('error', () => undefined)
    stream.once('close', () => resolve(last))
  })
}

async function* framesOf(stream: ClientHttp2Stream): AsyncGenerator<Buffer> {
  let chunks: Buffer[] = []
  let bytes = 0
  // Put together only when the next message is whole: a large one comes in many chunks.
  let wanted = FRAME_HEADER_BYTES
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes < wanted) continue
    let kept = Buffer.concat(chunks)
    wanted = FRAME_HEADER_BYTES
    while (kept.length >= FRAME_HEADER_BYTES) {
      const end = FRAME_HEADER_BYTES + kept.readUInt32BE(1)
      if (kept.length < end) {
        wanted = end
        break
      }
      yield kept.subarray(FRAME_HEADER_BYTES, end)
      kept = kept.subarray(end)
    }
    chunks = [kept]
    bytes = kept.length
  }
}

/** google.rpc.Status{code=1, message=2, details=3 repeated Any}, in base64. */
function detailsOf(header: string | string[] | undefined): Any[] {
  if (header === undefined) return []
  const reader = new BinaryReader(Buffer.from(String(header), 'base64'))
  const details: Any[] = []
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag()
    if (number === 3) details.push(anyOf(reader.bytes()))
    else reader.skip(type)
  }
  return details
}

function anyOf(bytes: Uint8Array) {
  return fromBinary(AnySchema, bytes)
}
