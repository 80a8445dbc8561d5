import { chmodSync, lstatSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { ConfigError } from '../config/config-error.ts'
import type { ListenAddress } from '../config/schema.ts'

export interface ListenOptions {
  /** Only this user can connect: the socket has mode 0600 from the first moment on. */
  readonly socket: string
  readonly listen?: ListenAddress | undefined
  readonly maxConnections: number
  readonly onConnection: (connection: Socket) => void
}

/** The sockets of the server. Those that are connected are counted here. */
export class Listeners implements AsyncDisposable {
  readonly socketPath: string
  /** As bound, when listening on TCP. */
  readonly address: ListenAddress | undefined
  readonly #servers: readonly Server[]
  readonly #connections: Set<Socket>

  private constructor(socketPath: string, servers: readonly Server[], connections: Set<Socket>) {
    this.socketPath = socketPath
    this.#servers = servers
    this.#connections = connections
    const tcp = servers[1]?.address() as AddressInfo | null | undefined
    this.address = tcp ? { host: tcp.address, port: tcp.port } : undefined
  }

  /** Rejects with a `ConfigError` where an address cannot be had. */
  static async open(options: ListenOptions): Promise<Listeners> {
    const connections = new Set<Socket>()
    const servers: Server[] = []
    try {
      await removeStaleSocket(options.socket)
      prepareDirectory(options.socket)
      servers.push(await listen({ path: options.socket }, options, connections))
      chmodSync(options.socket, 0o600)
      if (options.listen !== undefined) servers.push(await listen(options.listen, options, connections))
      return new Listeners(options.socket, servers, connections)
    } catch (error) {
      for (const server of servers) server.close()
      throw error
    }
  }

  get connected(): number {
    return this.#connections.size
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

function listen(
  at: { path: string } | ListenAddress,
  { maxConnections, onConnection }: ListenOptions,
  connections: Set<Socket>,
): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => {
      if (connections.size >= maxConnections) {
        connection.destroy()
        return
      }
      connections.add(connection)
      connection.once('close', () => connections.delete(connection))
      connection.setNoDelay(true)
      onConnection(connection)
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

/** Made private. One that was there, in a place that all may write to, is used only if it is ours. */
function prepareDirectory(socket: string): void {
  const directory = dirname(socket)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const { uid, mode } = statSync(directory)
  const ours = uid === process.getuid?.() || uid === 0
  if (!ours || ((mode & 0o022) !== 0 && (mode & 0o1000) === 0)) {
    throw new ConfigError(`the directory of the socket, ${directory}, belongs to or can be written by others`)
  }
}
