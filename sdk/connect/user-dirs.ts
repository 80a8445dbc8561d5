import { lstat, mkdir } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { PermissionDeniedError } from '../errors.ts'

/** Where this user's own server and caches live. All absolute. */
export interface UserDirs {
  /** For the socket; gone after a reboot, private to the user. */
  readonly runtime: string
  /** For the server's data and log. */
  readonly state: string
  /** For what can be made anew. */
  readonly cache: string
}

/** By the XDG base directories; without XDG_RUNTIME_DIR the socket is in /run for root and in the directory for temporary files otherwise. */
export function userDirs(env: NodeJS.ProcessEnv): UserDirs {
  const home = env['HOME'] ?? homedir()
  const uid = process.getuid?.() ?? 0
  const noRuntimeDir = uid === 0 ? `/run/croft-${uid}` : join(tmpdir(), `croft-${uid}`)
  return {
    runtime: absolute(env['XDG_RUNTIME_DIR'], 'croft') ?? noRuntimeDir,
    state: absolute(env['XDG_STATE_HOME'], 'croft') ?? join(home, '.local', 'state', 'croft'),
    cache: absolute(env['XDG_CACHE_HOME'], 'croft') ?? join(home, '.cache', 'croft'),
  }
}

/**
 * Makes the directory for this user alone. Rejects with a `PermissionDeniedError` where it is someone else's:
 * in a world-writable parent another user may have been first, with a socket that takes our code.
 */
export async function makePrivateDir(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  const problem = await whyNotPrivate(path)
  if (problem !== undefined) throw notPrivate(path, problem)
}

/** As `makePrivateDir`, but makes nothing: false where there is no such directory. */
export async function isPrivateDir(path: string): Promise<boolean> {
  try {
    const problem = await whyNotPrivate(path)
    if (problem !== undefined) throw notPrivate(path, problem)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}

async function whyNotPrivate(path: string): Promise<string | undefined> {
  const stat = await lstat(path)
  if (!stat.isDirectory()) return 'is no directory'
  if (stat.uid !== (process.getuid?.() ?? stat.uid)) return `belongs to user ${stat.uid}`
  if ((stat.mode & 0o022) !== 0) return 'can be written by others'
  return undefined
}

function notPrivate(path: string, problem: string): PermissionDeniedError {
  return new PermissionDeniedError(`${path} ${problem}`, {
    remedy: `Remove it or run chmod 700 ${path}, or set XDG_RUNTIME_DIR to a directory of your own`,
  })
}

/** The specification says that relative values are to be ignored. */
function absolute(dir: string | undefined, name: string): string | undefined {
  return dir?.startsWith('/') === true ? join(dir, name) : undefined
}
