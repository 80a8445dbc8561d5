import { z } from 'zod'
import { SECCOMP_NAMES } from '../../runtimes/seccomp/filter.ts'
import { limitsSchema } from './limits.ts'

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** The ports of wire v1, where an address names none. */
const GRPC_PORT = 9000
const HTTP_PORT = 8080

const absolutePath = z
  .string()
  .refine((path) => path.startsWith('/'), 'must be an absolute path')
  .refine((path) => !path.includes('\0'), 'must not contain NUL')

/** sockaddr_un holds 108 bytes, the final NUL among them. */
const socketPath = absolutePath.refine((path) => Buffer.byteLength(path) <= 107, 'must be at most 107 bytes long')

/** What names a place on this machine. */
export const PATHS: readonly z.core.$ZodType[] = [absolutePath, socketPath]

const hostUidsSchema = z
  .strictObject({
    first: z.int().min(1000).max(0xfffffffd).default(100_000),
    last: z.int().min(1000).max(0xfffffffd).default(165_535),
  })
  .refine((range) => range.first <= range.last, { message: 'must not be below `first`', path: ['last'] })

export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** `host:port`, `:port`, `host`, `[v6]:port`; without a host 127.0.0.1. */
const listenSchema = (defaultPort: number) =>
  z.string().transform((text, context): ListenAddress => {
    const parsed = parseListen(text, defaultPort)
    if (parsed !== undefined) return parsed
    context.addIssue({ code: 'custom', message: `\`${text}\` is not host:port with a port of 0 to 65535` })
    return z.NEVER
  })

/** The same calls over HTTP and JSON. */
const httpSchema = z.strictObject({
  listen: listenSchema(HTTP_PORT).optional(),
  /** Origins (`https://app.example.com`) whose pages may call. */
  allowedOrigins: z
    .array(z.url({ protocol: /^https?$/ }))
    .max(100)
    .default([]),
})

const fsSchema = z.strictObject({
  /** How views are mounted: `auto` is `kernel` where that works, else `fuse-native`. */
  device: z.enum(['auto', 'kernel', 'fuse-native']).default('auto'),
})

/** The engine's own socket; it is asked for nothing until somebody wants a container. */
const engineSchema = (socket: string) => z.strictObject({ socket: socketPath.default(socket) })

/** PEM files. */
const tlsSchema = z.strictObject({
  cert: absolutePath,
  key: absolutePath,
  /** Only clients with a certificate of this authority may connect. */
  clientCa: absolutePath.optional(),
})

const ROLES = ['admin', 'user', 'read-only'] as const

/** What a user of this host is, by the unix socket. */
const peerSchema = z
  .strictObject({
    uid: z.int().min(1).max(0xfffffffe),
    owner: z.string().max(256).default(''),
    role: z.enum(ROLES).default('user'),
  })
  .refine(({ owner, role }) => owner !== '' || role === 'admin', { message: 'is missing', path: ['owner'] })

/** Metrics and health, over HTTP, without a token: so on this host only. */
const statusSchema = z
  .strictObject({
    listen: listenSchema(GRPC_PORT)
      .refine(({ host }) => host === '::1' || host.startsWith('127.'), 'must be an address of the loop-back')
      .optional(),
    socket: socketPath.optional(),
  })
  .refine(({ listen, socket }) => listen === undefined || socket === undefined, {
    message: 'must not be given together with `listen`',
    path: ['socket'],
  })

/** Who did what. */
const auditSchema = z.strictObject({
  /** Without one nothing is written. */
  file: absolutePath.optional(),
  maxFileBytes: z
    .int()
    .min(64 * 1024)
    .default(64 * 1024 * 1024),
  /** Of earlier ones beside it. */
  maxFiles: z.int().min(1).max(100_000).default(100),
})

const quota = z.int().min(0).optional()

/** Of one owner, in the place of `limits.max…PerOwner`. 0: none. */
const quotaSchema = z.strictObject({
  sandboxes: quota,
  running: quota,
  snapshots: quota,
  bytes: quota,
  commandsPerMinute: quota,
})

const imagesSchema = z.strictObject({
  /** Directories of this host below which archives of images may be named; whoever may use the server may use all of them. */
  roots: z.array(absolutePath).max(64).default([]),
})

const exportsSchema = z.strictObject({
  /** Directories below which export jobs may write. */
  roots: z.array(absolutePath).max(64).default([]),
})

/** What may stand in the file; what is absent has its default from `load.ts`. */
export const configSchema = z.strictObject({
  dataDir: absolutePath,
  socket: socketPath,
  mountDir: absolutePath,
  listen: listenSchema(GRPC_PORT).optional(),
  http: httpSchema.prefault({}),
  /** For `listen` and `http.listen`. */
  tls: tlsSchema.optional(),
  /** Who of this host, beside the server's own user and root, may use the unix socket. */
  peers: z.array(peerSchema).max(1000).default([]),
  /** On TCP, without a token, as an admin. */
  dangerouslyLetAnyoneIn: z.boolean().default(false),
  /** Where there is no token yet, one for an admin is made and written into this new file. */
  firstToken: absolutePath.optional(),
  audit: auditSchema.prefault({}),
  status: statusSchema.prefault({}),
  logLevel: z.enum(LOG_LEVELS).default('info'),
  logFormat: z.enum(['json', 'text']).default('json'),
  /** For a sandbox that names none; `auto` is the strongest that works and can do what is asked for. */
  defaultRuntime: z.string().default('bwrap'),
  hostUids: hostUidsSchema.prefault({}),
  fs: fsSchema.prefault({}),
  docker: engineSchema('/var/run/docker.sock').prefault({}),
  podman: engineSchema('/run/podman/podman.sock').prefault({}),
  images: imagesSchema.prefault({}),
  exports: exportsSchema.prefault({}),
  /** Which system calls programs have, where a request names nothing; and no request may ask for less of a filter. */
  seccomp: z.enum(SECCOMP_NAMES).default('default'),
  /** The most that a request may ask for; one that asks for nothing has none. */
  network: z.enum(['off', 'allow-list', 'full']).default('full'),
  /** The server ends when for so many seconds no client was connected and no sandbox ran. Default: never. */
  idleExitSeconds: z
    .int()
    .min(1)
    .max(86_400 * 24)
    .optional(),
  /** By owner. */
  quotas: z.record(z.string().min(1), quotaSchema).default({}),
  limits: limitsSchema.prefault({}),
})

export type Config = z.infer<typeof configSchema>

function parseListen(text: string, defaultPort: number): ListenAddress | undefined {
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]*))(?::(\d{1,5}))?$/.exec(text)
  if (match === null) return undefined
  const port = match[2] === undefined ? defaultPort : Number(match[2])
  if (port > 65_535) return undefined
  const host = (match[1] ?? '').replace(/^\[|\]$/g, '')
  return { host: host === '' ? '127.0.0.1' : host, port }
}
