import { join, resolve } from 'node:path'
import { InvalidArgumentError } from '../errors.ts'
import { userDirs } from './user-dirs.ts'

/** Which server to use. The first that is given counts; without any it is this user's own. */
export interface ServerOptions {
  /** `unix:///path/of/socket`, `host:port`, `http://host:port` or `https://host:port` (TLS). */
  readonly url?: string
  /** Path of a unix socket. */
  readonly socket?: string
  /** Sent as a bearer token. Default: CROFT_TOKEN, but not to this user's own server, which knows its user. */
  readonly token?: string
  /** For `https://`, in place of what the system trusts. */
  readonly tls?: TlsOptions
  /** Start a server for this user where none is given and none answers. Default true. */
  readonly start?: boolean
}

/** Paths of PEM files. */
export interface TlsOptions {
  /** Of the authority that the server's certificate is from. Default: CROFT_CA, else the system's. */
  readonly ca?: string
  /** Of this client, for a server that wants one. Default: CROFT_CLIENT_CERT and CROFT_CLIENT_KEY. */
  readonly cert?: string
  readonly key?: string
}

export interface Address {
  /** As grpc wants it: `unix:///path` or `host:port`, `https://` kept. */
  readonly address: string
  readonly token: string | undefined
  readonly tls: TlsOptions
  /** Nobody chose it: a server may be started there. */
  readonly isDefault: boolean
}

/** Options first, then CROFT_SERVER, then the user's default socket. Throws an `InvalidArgumentError`. */
export function resolveAddress(options: ServerOptions, env: NodeJS.ProcessEnv): Address {
  const as = { token: options.token ?? env['CROFT_TOKEN'], tls: tlsOptions(options.tls, env) }
  if (options.url !== undefined) return { address: parseUrl(options.url, 'server.url'), ...as, isDefault: false }
  if (options.socket !== undefined) {
    return { address: socketAddress(resolve(options.socket), 'server.socket'), ...as, isDefault: false }
  }
  const fromEnv = env['CROFT_SERVER']
  if (fromEnv !== undefined && fromEnv !== '') {
    return { address: parseUrl(fromEnv, 'CROFT_SERVER'), ...as, isDefault: false }
  }
  const own = { ...as, token: options.token }
  return { address: socketAddress(defaultSocket(env), 'XDG_RUNTIME_DIR'), ...own, isDefault: true }
}

function tlsOptions(given: TlsOptions = {}, env: NodeJS.ProcessEnv): TlsOptions {
  const { ca = env['CROFT_CA'], cert = env['CROFT_CLIENT_CERT'], key = env['CROFT_CLIENT_KEY'] } = given
  if ((cert === undefined) !== (key === undefined)) {
    throw new InvalidArgumentError('A client certificate needs its key, and the key its certificate', 'server.tls', {
      remedy: 'Give both tls.cert and tls.key, or CROFT_CLIENT_CERT and CROFT_CLIENT_KEY',
    })
  }
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

function defaultSocket(env: NodeJS.ProcessEnv): string {
  return join(userDirs(env).runtime, 'croft.sock')
}

/** The kernel's sun_path has 108 bytes on Linux with the NUL, 104 on macOS. */
const MAX_SOCKET_PATH_BYTES = process.platform === 'darwin' ? 103 : 107
const DEFAULT_PORT = 9000

function socketAddress(path: string, field: string): string {
  const bytes = Buffer.byteLength(path)
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new InvalidArgumentError(
      `${field}: the socket's path has ${bytes} bytes, the kernel takes ${MAX_SOCKET_PATH_BYTES}: ${path}`,
      field,
      { remedy: 'Choose a shorter path' },
    )
  }
  return `unix://${path}`
}

function parseUrl(url: string, field: string): string {
  if (url.startsWith('unix:')) {
    const path = url.replace(/^unix:(\/\/)?/, '')
    if (!path.startsWith('/')) throw malformed(url, field)
    return socketAddress(path, field)
  }
  const [, scheme = '', host = '', port = String(DEFAULT_PORT)] =
    /^(https?:\/\/)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?\/?$/.exec(url) ?? []
  if (host === '' || Number(port) < 1 || Number(port) > 65_535) throw malformed(url, field)
  return `${scheme === 'https://' ? scheme : ''}${host}:${port}`
}

function malformed(url: string, field: string): InvalidArgumentError {
  return new InvalidArgumentError(`${field} is no address of a server: ${JSON.stringify(url)}`, field, {
    remedy: 'Give unix:///path/of/socket, host:port or https://host:port',
  })
}
