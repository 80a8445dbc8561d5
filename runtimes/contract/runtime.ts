import type { Duplex } from 'node:stream'
import type { Capabilities } from './capabilities.ts'

/**
 * A way to run a workload behind a boundary. It is handed a mount of the view and starts the agent as process
 * 1 with a byte stream between the agent and us; all else (commands, sessions, terminals) goes over that
 * stream and is the same for every runtime.
 */
export interface Runtime {
  readonly name: RuntimeName
  /** `launch` may be called while the view is still being mounted: it waits for `LaunchSpec.mounted` where it must. */
  readonly takesMountLate?: boolean
  /** Tries the runtime for real; never throws. */
  probe(): Promise<Probe>
  /** Rejects with a `RuntimeError`; nothing of the sandbox is left then. */
  launch(spec: LaunchSpec, signal?: AbortSignal): Promise<Launched>
  /** Removes what earlier instances left behind for the given sandboxes; never anything of another. */
  reap(leftBehind: LeftBehind): Promise<void>
}

export type RuntimeName =
  | 'bwrap'
  | 'docker'
  | 'podman'
  | 'gvisor'
  | 'qemu'
  | 'firecracker'
  | 'wasm'
  | 'kubernetes'
  | 'nomad'

export interface Probe {
  readonly available: boolean
  /** Why it is not, and the line that mends it; absent where it is. */
  readonly reason?: string
  /** A line for a shell that mends it, where one is known. */
  readonly remedy?: string
  readonly version?: string
  readonly capabilities: Capabilities
  /** Why some of them are false, and what mends it, where there is more to say than their names do. */
  readonly lacks?: Readonly<Partial<Record<keyof Capabilities, string>>>
}

export interface LaunchSpec {
  readonly sandboxId: string
  /** Of the server that launches; part of every name the runtime gives to something on the host. */
  readonly instance: string
  /** The mounted view, on the host. */
  readonly viewPath: string
  /** Resolves when the view is there; absent: it is. A rejection ends the launch with the same error. */
  readonly mounted?: Promise<void>
  /** Where the view stands inside. */
  readonly workspace: string
  /** The unprivileged host user that all of the sandbox's processes run as. */
  readonly hostUid: number
  readonly hostGid: number
  /** A directory of this sandbox's own, for sockets and the like; removed by the caller after `stop`. */
  readonly scratchDir: string
  readonly hostname: string
  readonly image?: string
  /** Whether an image is taken from its registry. Default: where the engine lacks it. */
  readonly pull?: ImagePull
  /** Told while the image is fetched. */
  readonly onImage?: (progress: ImageProgress) => void
  readonly limits: Limits
  readonly network:
    | { readonly mode: 'off' }
    | { readonly mode: 'full' }
    | { readonly mode: 'allow-list'; readonly allow: readonly string[] }
}

export const IMAGE_PULLS = ['never', 'missing', 'always'] as const

/** `always`: also where there is one of that name, which may have another content in its registry by now. */
export type ImagePull = (typeof IMAGE_PULLS)[number]

export interface ImageProgress {
  readonly phase: 'pulling' | 'loading'
  readonly bytes: number
  /** As far as it is known by now: it grows as parts are found. */
  readonly totalBytes: number
}

/** Absent: no limit. */
export interface Limits {
  readonly memoryBytes?: number
  /** Microseconds in each 100 ms. */
  readonly cpuQuotaUs?: number
  readonly cpuShares?: number
  readonly pids?: number
  /** Size of `/tmp` inside. */
  readonly tmpBytes?: number
  /** Descriptors of each process; one more is EMFILE. */
  readonly openFiles?: number
  /** No file grows beyond this: EFBIG, and SIGXFSZ. */
  readonly fileBytes?: number
}

export interface Launched {
  /** To the agent. Ends when the boundary is gone. */
  readonly stream: Duplex
  /** What the image says of every command's variables; absent where there is no image. */
  readonly env?: Readonly<Record<string, string>>
  /** Where commands begin that name no directory, as the image says, if it is there. Default: the view. */
  readonly cwd?: string
  /** Resolves once, when the boundary has ended, with what it said (its last words on stderr). */
  readonly ended: Promise<Ended>
  /** Host process id of the boundary's outermost process, where there is one. */
  readonly pid?: number
  /** Ends every process inside; resolves when none is left. Never rejects for a boundary that is gone already. */
  stop(): Promise<void>
  stats(): Promise<Stats>
  /** As in `stats`; cheap enough to be asked at each command. Undefined where nobody counts. */
  oomKills(): number | undefined
}

export interface Ended {
  readonly exitCode?: number
  readonly signal?: string
  readonly message: string
}

export interface Stats {
  readonly memoryBytes?: number
  readonly memoryPeakBytes?: number
  readonly cpuUs?: number
  /** Those that make the boundary are not among them. */
  readonly pids?: number
  /** Processes that the kernel ended because the memory limit was reached. */
  readonly oomKills?: number
  /** Periods of 100 ms in which it had used up its quota of CPU time, and how long it stood still for that. */
  readonly throttledPeriods?: number
  readonly throttledUs?: number
}

export interface LeftBehind {
  readonly instance: string
  readonly sandboxIds: readonly string[]
}

/**
 * `code`: `unavailable` the runtime does not run here; `unsupported` it lacks an ability; `image` the image that was
 * asked for is not to be had; `failed` it broke.
 */
export class RuntimeError extends Error {
  readonly code: 'unavailable' | 'unsupported' | 'image' | 'failed'
  readonly runtime: RuntimeName

  constructor(code: RuntimeError['code'], runtime: RuntimeName, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'RuntimeError'
    this.code = code
    this.runtime = runtime
  }
}
