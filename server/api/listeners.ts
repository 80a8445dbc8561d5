import { chmodSync, lstatSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { ConfigError } from '../config/config-error.ts'
import type { ListenAddress } from '../config/schema.ts'

/** For a client to say who it is. */
const HANDSHAKE_MS = 10_000

export interface ListenOptions {
  readonly socket: string
  /** Others may connect to the socket; else only this user can, for it has mode 0600 from the first moment on. */
  readonly forOthers?: boolean
  readonly listen?: ListenAddress | undefined
  /** For `listen`. */
  readonly tls?: Tls | undefined
  readonly maxConnections: number
  readonly onUnix: (connection: Socket) => void
  readonly onTcp: (connection: Socket) => void
  /** Of a connection that came to nothing: no TLS, or no certificate that is trusted. */
  readonly onRefused?: (error: Error) => void
}

interface Bytes {
  read: number
  written: number
}

/** The contents of PEM files. */
export interface Tls {
  readonly cert: Buffer
  readonly key: Buffer
  readonly clientCa?: Buffer
}

/** The sockets of the server. Those that are connected are counted here. */
export class Listeners implements AsyncDisposable {
  readonly socketPath: string
  /** As bound, when listening on TCP. */
  readonly address: ListenAddress | undefined
  readonly #servers: readonly Server[]
  readonly #connections: Set<Socket>
  readonly #closed: Bytes

  private constructor(
    socketPath: string,
    servers: readonly Server[],
    { connections, closed }: { connections: Set<Socket>; closed: Bytes },
  ) {
    this.#closed = closed
    this.socketPath = socketPath
    this.#servers = servers
    this.#connections = connections
    const tcp = servers[1]?.address() as AddressInfo | null | undefined
    this.address = tcp ? { host: tcp.address, port: tcp.port } : undefined
  }

  /** Rejects with a `ConfigError` where an address cannot be had. */
  static async open(options: ListenOptions): Promise<Listeners> {
    const counted = { connections: new Set<Socket>(), closed: { read: 0, written: 0 } }
    const servers: Server[] = []
    try {
      await removeStaleSocket(options.socket)
      prepareDirectory(options.socket, options.forOthers === true)
      servers.push(await listen({ path: options.socket }, createServer(unlessFull(options.onUnix)), options, counted))
      chmodSync(options.socket, options.forOthers === true ? 0o666 : 0o600)
      if (options.listen !== undefined) {
        servers.push(await listen(options.listen, serverFor(options), options, counted))
      }
      return new Listeners(options.socket, servers, counted)
    } catch (error) {
      for (const server of servers) server.close()
      throw error
    }
  }

  get connected(): number {
    return this.#connections.size
  }

  /** Of all connections, those that are closed among them. */
  get bytes(): { readonly read: number; readonly written: number } {
    let { read, written } = this.#closed
    for (const { bytesRead, bytesWritten } of this.#connections) {
      read += bytesRead
      written += bytesWritten
    }
    return { read, written }
  }

  /** Nobody can connect any more; who is connected stays. The socket's file goes with it. */
  close(): void {
    for (const server of this.#servers) server.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    for (const connection of this.#connections) connection.destroy()
  }
}

function serverFor({ tls, onTcp, onRefused }: ListenOptions): Server {
  if (tls === undefined) return createServer(unlessFull(onTcp))
  try {
    const server = createTlsServer(
      {
        cert: tls.cert,
        key: tls.key,
        ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa, requestCert: true, rejectUnauthorized: true }),
        minVersion: 'TLSv1.2',
        ALPNProtocols: ['h2'],
        handshakeTimeout: HANDSHAKE_MS,
      },
      unlessFull(onTcp),
    )
    server.on('tlsClientError', (error, connection) => {
      connection.destroy()
      onRefused?.(error)
    })
    return server
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new ConfigError(`\`tls\`: the certificate and its key cannot be used: ${why}`, { cause: error })
  }
}

/** One connection too many is destroyed before anybody is told of it. */
function unlessFull(take: (connection: Socket) => void): (connection: Socket) => void {
  return (connection) => {
    if (!connection.destroyed) take(connection)
  }
}

function listen(
  at: { path: string } | ListenAddress,
  server: Server,
  { maxConnections }: ListenOptions,
  { connections, closed }: { connections: Set<Socket>; closed: Bytes },
): Promise<Server> {
  return new Promise((resolve, reject) => {
    // Before any other listener: with TLS this is the bare connection.
    server.prependListener('connection', (connection: Socket) => {
      if (connections.size >= maxConnections) {
        connection.destroy()
        return
      }
      connections.add(connection)
      connection.once('close', () => {
        connections.delete(connection)
        closed.read += connection.bytesRead
        closed.written += connection.bytesWritten
      })
      connection.setNoDelay(true)
    })
    const name = 'path' in at ? at.path : `${at.host}:${at.port}`
    server.once('error', (error) => {
      reject(new ConfigError(`cannot listen on ${name}: ${error.message}`, { cause: error }))
    })
    // A socket is made with the mode that the mask leaves: between bind and chmod nobody else may slip in.
    const mask = process.umask(0o177)
    server.listen(at, () => resolve(server))
    process.umask(mask)
  })
}

/** A socket's file outlives a server that was killed. One that answers belongs to another server. */
async function removeStaleSocket(path: string): Promise<void> {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return
  if (!stats.isSocket()) throw new ConfigError(`${path} is in the way: it is not a socket`)
  if (await answers(path)) throw new ConfigError(`another server is listening on ${path}`)
  rmSync(path, { force: true })
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
}

/** Made private, unless it is for others too. One that was there, in a place that all may write to, is used only if it is ours. */
function prepareDirectory(socket: string, forOthers: boolean): void {
  const directory = dirname(socket)
  mkdirSync(directory, { recursive: true, mode: forOthers ? 0o755 : 0o700 })
  const { uid, mode } = statSync(directory)
  const ours = uid === process.getuid?.() || uid === 0
  if (!ours || ((mode & 0o022) !== 0 && (mode & 0o1000) === 0)) {
    throw new ConfigError(`the directory of the socket, ${directory}, belongs to or can be written by others`)
  }
}
