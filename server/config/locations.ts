import { createHash } from 'node:crypto'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'

/** Who the server runs as, and what its environment says about where things belong. */
export interface Surroundings {
  readonly uid: number
  readonly env: NodeJS.ProcessEnv
}

export function defaultDataDir({ uid, env }: Surroundings): string {
  if (uid === 0) return '/var/lib/croft'
  return join(env.XDG_DATA_HOME || join(homedir(), '.local', 'share'), 'croft')
}

export function defaultSocket(surroundings: Surroundings): string {
  return join(runtimeDir(surroundings), 'croft.sock')
}

/**
 * Not under the data directory: a sandbox's own host user must be able to walk to its mount, and a data
 * directory may lie in a home that nobody else may enter.
 */
export function defaultMountDir(surroundings: Surroundings): string {
  return join(surroundings.uid === 0 ? '/run/croft' : runtimeDir(surroundings), 'mnt')
}

/**
 * Where the server of a data directory has its mounts. Named after that, so that the next server on it finds
 * what this one left mounted, and so that no server takes another's mounts for leftovers.
 */
export function mountsOf(dataDir: string, mountDir: string): string {
  return join(mountDir, createHash('sha256').update(dataDir).digest('hex').slice(0, 16))
}

function runtimeDir({ uid, env }: Surroundings): string {
  if (env.XDG_RUNTIME_DIR) return join(env.XDG_RUNTIME_DIR, 'croft')
  return uid === 0 ? `/run/croft-${uid}` : join(tmpdir(), `croft-${uid}`)
}
