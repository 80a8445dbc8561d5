import { once } from 'node:events'
import { type AddressInfo, createServer, isIPv6, type Server, type Socket } from 'node:net'
import { finished } from 'node:stream'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { type ConnectPortRequestSchema, PortService } from '../proto/index.ts'
import { throwIfAborted } from './abort.ts'
import type { Connection } from './client/connection.ts'
import { AbortedError, CroftError, InvalidArgumentError } from './errors.ts'
import { isOwnUser } from './peer-user.ts'

export interface ExposeOptions {
  /** Of this machine, to listen on. Default: one that is free. */
  readonly localPort?: number
  /** Of this machine. Default 127.0.0.1; with another one whoever can reach that can connect. */
  readonly localHost?: string
  /** Let other users of this machine connect. Default false; only Linux can tell them apart. */
  readonly otherUsers?: boolean
  /** Closes it. */
  readonly signal?: AbortSignal
}

/** A port of a sandbox on this machine: HTTP, WebSocket or anything over TCP. */
export interface ExposedPort extends AsyncDisposable {
  /** `http://127.0.0.1:40123`; what is spoken there is up to the server inside. */
  readonly url: string
  readonly host: string
  readonly port: number
  /** Resolves when it has closed: undefined after `close`, else why, as the end of the sandbox. */
  readonly closed: Promise<CroftError | undefined>
  close(): Promise<void>
}

export async function expose(
  connection: Connection,
  sandboxId: string,
  port: number,
  options: ExposeOptions,
): Promise<ExposedPort> {
  const { localPort = 0, localHost = '127.0.0.1', otherUsers = false, signal } = options
  checkPort(port, 1, 'port')
  checkPort(localPort, 0, 'localPort')
  throwIfAborted(signal)
  const over = new AbortController()
  const close = () => over.abort(new AbortedError('The exposed port was closed'))
  // Says whether the sandbox runs, and then when it does not any more.
  const watching = connection.serverStream(PortService.method.exposePort, { sandboxId, port }, { signal: over.signal })
  await watching.next()

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => undefined)
    void carry(socket, connection, { sandboxId, port, signal: over.signal, otherUsers })
  })
  try {
    await listen(server, localPort, localHost)
  } catch (error) {
    close()
    await watching.return()
    throw error
  }
  signal?.addEventListener('abort', close, { once: true })
  const closed = endOf(watching, over.signal).finally(() => {
    signal?.removeEventListener('abort', close)
    server.close()
    over.abort()
  })
  if (signal?.aborted === true) close()
  const { port: boundPort } = server.address() as AddressInfo
  const closeAndWait = async () => {
    close()
    await closed
  }
  return {
    url: `http://${isIPv6(localHost) ? `[${localHost}]` : localHost}:${boundPort}`,
    host: localHost,
    port: boundPort,
    closed,
    close: closeAndWait,
    [Symbol.asyncDispose]: closeAndWait,
  }
}

function checkPort(port: number, least: number, option: string): void {
  if (Number.isInteger(port) && port >= least && port <= 65_535) return
  throw new InvalidArgumentError(`${option} must be a number from ${least} to 65535`, option)
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  try {
    await once(server.listen(port, host), 'listening')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    throw new InvalidArgumentError(`Cannot listen on ${host}:${port}: ${code}`, 'localPort', { cause: error })
  }
}

async function endOf(watching: AsyncIterator<unknown>, over: AbortSignal): Promise<CroftError | undefined> {
  try {
    await watching.next()
  } catch (error) {
    if (!over.aborted && error instanceof CroftError) return error
  }
  return undefined
}

interface Carried {
  readonly sandboxId: string
  readonly port: number
  readonly signal: AbortSignal
  readonly otherUsers: boolean
}

/** What goes wrong shows to whoever connected as what a server that fails shows: the connection breaks. */
async function carry(socket: Socket, connection: Connection, { sandboxId, port, signal, otherUsers }: Carried) {
  const gone = new AbortController()
  // Also tells of one that is only closed early, and says nothing where both ways have ended in order.
  finished(socket, (error) => {
    if (error !== undefined && error !== null) gone.abort(error)
  })
  try {
    if (!otherUsers && !(await isOwnUser(socket))) throw new Error('somebody else’s')
    const call = connection.bidi(PortService.method.connectPort, requestsOf(socket, { sandboxId, port }), {
      signal: AbortSignal.any([signal, gone.signal]),
    })
    for await (const { message } of call) {
      if (message.case === 'data' && !socket.write(message.value)) await drained(socket)
      if (message.case === 'end') socket.end()
    }
  } catch {
    socket.resetAndDestroy()
  }
}

async function* requestsOf(
  socket: Socket,
  start: { readonly sandboxId: string; readonly port: number },
): AsyncGenerator<MessageInitShape<typeof ConnectPortRequestSchema>> {
  yield { message: { case: 'start', value: start } }
  for await (const data of socket.iterator({ destroyOnReturn: false })) {
    yield { message: { case: 'data', value: data as Buffer } }
  }
}

/** Or gone. */
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done)
      socket.off('close', done)
      resolve()
    }
    socket.once('drain', done)
    socket.once('close', done)
    if (socket.destroyed) done()
  })
}
