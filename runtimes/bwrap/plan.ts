import type { LaunchSpec } from '../contract/runtime.ts'
import { HOME } from '../contract/spec.ts'
import { AGENT_INSIDE, type ProcSources, planProc } from './proc.ts'

/** What of the host goes into a plan; found once by `readHost`. */
export interface BwrapHost {
  /** `/bin` and the like where they are links into `/usr`, with their targets. */
  readonly links: readonly { readonly path: string; readonly target: string }[]
  /** Those that are directories of their own. */
  readonly directories: readonly string[]
  /** The generated `/etc`, and what of the host's is bound into it. */
  readonly etcDir: string
  readonly etcBinds: readonly string[]
  /** Of sandboxes that have the whole network. */
  readonly resolvConf: string
  readonly proc: ProcSources
}

export interface BwrapPlanOptions {
  /** Further host paths to show, read-only, at the same place. They must exist. */
  readonly extraReadOnly?: readonly string[]
}

/** As numbers of descriptors that bubblewrap is started with. */
export const CHANNEL_FD = 3
export const AGENT_FD = 4
export const FIRST_GROUP_FD = 5

export const INSIDE_UID = 1000
export const INSIDE_GID = 1000

/** Of `/tmp`, and of the home, where the limits do not say. */
const DEFAULT_TMP_BYTES = 1 << 30
const RUN_BYTES = 16 << 20
const SHM_BYTES = 64 << 20

/**
 * The arguments of bubblewrap for one sandbox. Pure. Every place inside that can be written to has a size: the
 * root and `/dev` are made read-only when all is in them.
 */
export function planBwrap(spec: LaunchSpec, host: BwrapHost, options: BwrapPlanOptions = {}): string[] {
  const sizes = sizesOf(spec.limits)
  return [
    // A namespace of each kind; none of its own below, since those are where kernel holes are reached.
    ...['--unshare-all', '--unshare-user', '--disable-userns'],
    ...['--uid', String(INSIDE_UID), '--gid', String(INSIDE_GID), '--hostname', spec.hostname],
    // No terminal of ours to push input into; no life after ours; no right of any kind.
    ...['--new-session', '--die-with-parent', '--as-pid-1', '--cap-drop', 'ALL', '--clearenv'],
    ...['--ro-bind', '/usr', '/usr'],
    ...host.links.flatMap(({ path, target }) => ['--symlink', target, path]),
    ...host.directories.flatMap((path) => ['--ro-bind', path, path]),
    ...['--ro-bind', host.etcDir, '/etc'],
    ...host.etcBinds.flatMap((path) => ['--ro-bind', path, path]),
    ...(spec.network.mode === 'full' ? ['--ro-bind', host.resolvConf, '/etc/resolv.conf'] : []),
    ...planProc(host.proc),
    ...['--dev', '/dev', '--perms', '1777', '--size', sizes.shm, '--tmpfs', '/dev/shm', '--remount-ro', '/dev'],
    ...['--perms', '1777', '--size', sizes.tmp, '--tmpfs', '/tmp'],
    ...['--dir', '/var', '--symlink', '/tmp', '/var/tmp', '--symlink', '/run', '/var/run'],
    ...['--perms', '0755', '--size', sizes.run, '--tmpfs', '/run'],
    ...['--dir', '/home', '--perms', '0700', '--size', sizes.home, '--tmpfs', HOME],
    ...(options.extraReadOnly ?? []).flatMap((path) => ['--ro-bind', path, path]),
    ...['--bind', spec.viewPath, spec.workspace],
    ...['--remount-ro', '/', '--chdir', '/'],
    ...['--', AGENT_INSIDE, String(CHANNEL_FD)],
    ...processLimits(spec.limits),
  ]
}

/** Of each process inside, for the agent to set: a dash is no limit. */
function processLimits({ openFiles, fileBytes }: LaunchSpec['limits']): string[] {
  if (openFiles === undefined && fileBytes === undefined) return []
  return [openFiles, fileBytes].map((limit) => (limit === undefined ? '-' : String(limit)))
}

/**
 * These are memory, and no killing of processes frees what is in them: where memory is limited they are kept
 * well below that together, so that a full one is a write that fails and not the end of the sandbox.
 */
function sizesOf({ memoryBytes = Number.POSITIVE_INFINITY, tmpBytes }: LaunchSpec['limits']) {
  const tmp = tmpBytes ?? Math.min(DEFAULT_TMP_BYTES, memoryBytes / 4)
  const home = Math.min(tmpBytes ?? DEFAULT_TMP_BYTES, memoryBytes / 4)
  const shm = Math.min(SHM_BYTES, memoryBytes / 8)
  const run = Math.min(RUN_BYTES, memoryBytes / 16)
  const bytes = (value: number) => String(Math.floor(value))
  return { tmp: bytes(tmp), home: bytes(home), shm: bytes(shm), run: bytes(run) }
}
