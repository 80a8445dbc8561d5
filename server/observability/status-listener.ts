import { once } from 'node:events'
import { chmodSync, lstatSync, rmSync } from 'node:fs'
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ConfigError } from '../config/config-error.ts'
import type { Config, ListenAddress } from '../config/schema.ts'
import { CONTENT_TYPE } from './exposition.ts'
import type { Readiness } from './readiness.ts'

export interface StatusListenerDependencies {
  readonly metrics: () => string
  readonly readiness: () => Promise<Readiness>
}

const MAX_CONNECTIONS = 64
const HEADERS_MS = 5_000

/**
 * For collectors and for whoever restarts what does not answer: GET only, no names of sandboxes, owners or paths, and on
 * this host only, for it asks nobody who he is.
 */
export class StatusListener implements AsyncDisposable {
  readonly address: ListenAddress | undefined
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
    const bound = server.address() as AddressInfo | string | null
    this.address = typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : undefined
  }

  /** Rejects with a `ConfigError`; `undefined` where it is not asked for. */
  static async open(
    { listen, socket }: Config['status'],
    dependencies: StatusListenerDependencies,
  ): Promise<StatusListener | undefined> {
    if (listen === undefined && socket === undefined) return undefined
    const server = createServer({ headersTimeout: HEADERS_MS, requestTimeout: HEADERS_MS }, answer(dependencies))
    server.maxConnections = MAX_CONNECTIONS
    try {
      if (socket === undefined) server.listen(listen)
      else listenPrivately(server, socket)
      await once(server, 'listening')
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      throw new ConfigError(`\`status\`: cannot listen: ${why}`, { cause: error })
    }
    if (socket !== undefined) chmodSync(socket, 0o600)
    return new StatusListener(server)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

/** What a server that was killed left there is taken away; whatever else is there stays. */
function listenPrivately(server: Server, socket: string): void {
  if (lstatSync(socket, { throwIfNoEntry: false })?.isSocket()) rmSync(socket)
  const mask = process.umask(0o177)
  server.listen(socket)
  process.umask(mask)
}

function answer({ metrics, readiness }: StatusListenerDependencies): RequestListener {
  return ({ method, url }, response) => {
    if (method !== 'GET' && method !== 'HEAD') return say(response, 405, 'text/plain', 'only GET\n')
    switch (url) {
      case '/metrics':
        return say(response, 200, CONTENT_TYPE, metrics())
      case '/healthz':
        // The main thread answers: that is all that a restart could mend.
        return say(response, 200, 'text/plain', 'ok\n')
      case '/readyz':
        readiness().then(
          (found) => say(response, found.ready ? 200 : 503, 'application/json', `${JSON.stringify(found)}\n`),
          () => say(response, 503, 'application/json', '{"ready":false,"checks":{}}\n'),
        )
        return
      default:
        return say(response, 404, 'text/plain', 'there are /metrics, /healthz and /readyz\n')
    }
  }
}

function say(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body)
}
