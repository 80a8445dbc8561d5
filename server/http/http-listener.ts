import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Tls } from '../api/listeners.ts'
import { ConfigError } from '../config/config-error.ts'
import type { ListenAddress } from '../config/schema.ts'
import type { Gateway } from './gateway.ts'

export interface HttpListenOptions {
  readonly listen: ListenAddress
  readonly tls: Tls | undefined
  readonly maxConnections: number
  readonly gateway: Pick<Gateway, 'handle'>
}

/** For a client to send its headers. Its body may take as long as it likes: uploads do. */
const HEADERS_MS = 60_000

/** The port of HTTP. */
export class HttpListener implements AsyncDisposable {
  /** As bound. */
  readonly address: ListenAddress
  readonly #server: Server
  #connected = 0

  private constructor(server: Server) {
    this.#server = server
    const bound = server.address() as AddressInfo
    this.address = { host: bound.address, port: bound.port }
    server.on('connection', (connection) => {
      this.#connected += 1
      connection.once('close', () => (this.#connected -= 1))
    })
  }

  /** Rejects with a `ConfigError` where the address cannot be had. */
  static async open({ listen, tls, maxConnections, gateway }: HttpListenOptions): Promise<HttpListener> {
    const options = { headersTimeout: HEADERS_MS, requestTimeout: 0 }
    const server = tls === undefined ? createServer(options) : createTlsServer({ ...options, ...forClients(tls) })
    server.maxConnections = maxConnections
    server.on('request', (request, response) => void gateway.handle(request, response))
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => {
        reject(new ConfigError(`cannot listen on ${listen.host}:${listen.port}: ${error.message}`, { cause: error }))
      })
      server.listen(listen, resolve)
    })
    return new HttpListener(server)
  }

  get connected(): number {
    return this.#connected
  }

  /** Nobody can connect any more; who waits for an answer gets it. */
  close(): void {
    this.#server.close()
    this.#server.closeIdleConnections()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    this.#server.closeAllConnections()
  }
}

function forClients({ cert, key, clientCa }: Tls) {
  const authority = clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }
  return { cert, key, ...authority, minVersion: 'TLSv1.2' as const }
}
