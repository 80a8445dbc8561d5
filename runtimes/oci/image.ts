import { posix } from 'node:path'
import { MAX_IMAGE_ENV_BYTES, MAX_IMAGE_VOLUMES } from './limits.ts'

/** What of an image a plan heeds. Who made the image is not trusted. */
export interface Image {
  /** So that what is started is what was looked at, whoever moves the name meanwhile. */
  readonly id: string
  readonly env: Readonly<Record<string, string>>
  /** Where the image wants to be written to. */
  readonly volumes: readonly string[]
  readonly hasHealthcheck: boolean
  /** WORKDIR; absent where the image has none. */
  readonly cwd?: string
}

/** As engines answer; both leave out or null what is empty. */
export interface InspectedImage {
  readonly Id: string
  readonly Config?: {
    readonly Env?: readonly string[] | null
    readonly Volumes?: Readonly<Record<string, unknown>> | null
    readonly Healthcheck?: unknown
    readonly WorkingDir?: string | null
  } | null
}

/** Or what is wrong with it. `workspace`: where the view is to stand. */
export function readImage(
  { Id: id, Config: config }: InspectedImage,
  workspace: string,
): Image | { readonly fault: string } {
  const lines = config?.Env ?? []
  if (lines.reduce((sum, line) => sum + Buffer.byteLength(line), 0) > MAX_IMAGE_ENV_BYTES) {
    return { fault: `its ENV is larger than ${MAX_IMAGE_ENV_BYTES} bytes` }
  }
  const volumes = Object.keys(config?.Volumes ?? {}).map((path) => posix.resolve('/', path))
  if (volumes.length > MAX_IMAGE_VOLUMES) return { fault: `it has more than ${MAX_IMAGE_VOLUMES} volumes` }
  // The view is in that one's place; one within would be made in the view.
  const taken = volumes.find(
    (path) => path !== workspace && [workspace, ...TAKEN].some((place) => overlap(path, place)),
  )
  if (taken !== undefined) return { fault: `its volume ${JSON.stringify(taken)} is in the way` }
  return {
    id,
    env: variables(lines),
    volumes: volumes.filter((path) => path !== workspace),
    hasHealthcheck: Boolean(config?.Healthcheck),
    ...workdir(config?.WorkingDir ?? ''),
  }
}

/** Builders write `/` where nobody asked for any. */
function workdir(path: string): { cwd?: string } {
  const resolved = posix.resolve('/', path)
  const isOne = resolved !== '/' && !path.includes('\0') && Buffer.byteLength(path) <= MAX_PATH_BYTES
  return isOne ? { cwd: resolved } : {}
}

/** PATH_MAX without its NUL. */
const MAX_PATH_BYTES = 4095

const TAKEN = ['/.croft', '/proc', '/sys', '/dev']

/** `/dev/shm` is where the engine's own is, which is in memory as well. */
function overlap(path: string, place: string): boolean {
  if (path === '/dev/shm') return false
  return path === '/' || `${path}/`.startsWith(`${place}/`) || `${place}/`.startsWith(`${path}/`)
}

function variables(lines: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {}
  for (const line of lines) {
    const at = line.indexOf('=')
    // One without a name or a value is none that a program could be given.
    if (at > 0 && !line.includes('\0')) found[line.slice(0, at)] = line.slice(at + 1)
  }
  return found
}
