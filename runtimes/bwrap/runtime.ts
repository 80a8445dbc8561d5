import { closeSync, openSync, readFileSync } from 'node:fs'
import type { Duplex, Readable } from 'node:stream'
import { execa } from 'execa'
import { agentBinaryPath } from '../agent/binary.ts'
import { detectControlGroups } from '../cgroup/detect.ts'
import type { ControlGroup, ControlGroups } from '../cgroup/group.ts'
import {
  type Capabilities,
  type Ended,
  type Launched,
  type LaunchSpec,
  type LeftBehind,
  type Probe,
  type Runtime,
  RuntimeError,
} from '../contract/runtime.ts'
import { readHost } from './host.ts'
import { AGENT_FD, type BwrapHost, CHANNEL_FD, FIRST_GROUP_FD, faultInSpec, planBwrap } from './plan.ts'
import { probeBwrap } from './probe.ts'

export interface BwrapOptions {
  /** For what is made once for all sandboxes. The sandboxes' users must be able to reach it (mode 0711 above). */
  readonly stateDir: string
  /** Default `/usr/bin/bwrap`. */
  readonly bwrapPath?: string
  /** Default: where the build puts it. */
  readonly agentPath?: string
  /** Host paths to show inside, read-only, at the same place. `/usr` always shows. */
  readonly extraReadOnly?: readonly string[]
  /** How long the agent may take to speak. Default 10 s. */
  readonly launchTimeoutMs?: number
}

/** bubblewrap's monitor and the agent are in the group too, and are not the workload's. */
const OWN_PROCESSES = 2
const MAX_LAST_WORDS_BYTES = 4096

export function createBwrapRuntime(options: BwrapOptions): Runtime {
  return new BwrapRuntime(options)
}

class BwrapRuntime implements Runtime {
  readonly name = 'bwrap'
  readonly #options: BwrapOptions
  readonly #bwrapPath: string
  #prepared: Promise<{ host: BwrapHost; groups: ControlGroups | undefined }> | undefined

  constructor(options: BwrapOptions) {
    this.#options = options
    this.#bwrapPath = options.bwrapPath ?? '/usr/bin/bwrap'
  }

  probe(): Promise<Probe> {
    return probeBwrap(
      { bwrapPath: this.#bwrapPath, agentPath: this.#agentPath, stateDir: this.#options.stateDir },
      { launch: (spec) => this.launch(spec), capabilities: async () => capabilitiesOf((await this.#prepare()).groups) },
    )
  }

  async launch(spec: LaunchSpec, signal?: AbortSignal): Promise<Launched> {
    signal?.throwIfAborted()
    const fault = faultInSpec(spec)
    if (fault !== undefined) throw new RuntimeError('failed', 'bwrap', fault)
    const { host, groups } = await this.#prepare()
    const lacking = unsupported(spec, capabilitiesOf(groups))
    if (lacking !== undefined) throw new RuntimeError('unsupported', 'bwrap', lacking)

    const group = await groups?.create(groupName(spec.instance, spec.sandboxId), {
      ...spec.limits,
      ...(spec.limits.pids !== undefined && { pids: spec.limits.pids + OWN_PROCESSES }),
    })
    let boundary: Boundary | undefined
    try {
      signal?.throwIfAborted()
      boundary = this.#start(spec, host, group)
      await firstWords(boundary, this.#options.launchTimeoutMs ?? 10_000, signal)
    } catch (error) {
      await boundary?.stop()
      await group?.remove()
      throw error
    }
    return launched(boundary, group)
  }

  async reap({ instance, sandboxIds }: LeftBehind): Promise<void> {
    // Processes end with the server that started them; what can stay is their group.
    const { groups } = await this.#prepare()
    for (const sandboxId of sandboxIds) await groups?.reap(groupName(instance, sandboxId))
  }

  get #agentPath(): string {
    return this.#options.agentPath ?? agentBinaryPath()
  }

  #prepare(): Promise<{ host: BwrapHost; groups: ControlGroups | undefined }> {
    this.#prepared ??= (async () => {
      try {
        const [host, groups] = await Promise.all([readHost(this.#options.stateDir), detectControlGroups()])
        return { host, groups }
      } catch (error) {
        this.#prepared = undefined
        throw new RuntimeError('failed', 'bwrap', `cannot prepare ${this.#options.stateDir}: ${messageOf(error)}`, { cause: error })
      }
    })()
    return this.#prepared
  }

  #start(spec: LaunchSpec, host: BwrapHost, group: ControlGroup | undefined): Boundary {
    const opened: number[] = []
    try {
      opened.push(openSync(this.#agentPath, 'r'))
      for (const path of group?.procsPaths ?? []) opened.push(openSync(path, 'w'))
      const args = planBwrap(spec, host, this.#options)
      const groupFds = opened.slice(1).map((_, index) => FIRST_GROUP_FD + index)
      // Through the agent's other trade: it enters the groups, then becomes bubblewrap.
      const [file, argv] =
        groupFds.length === 0
          ? [this.#bwrapPath, args]
          : [`/proc/self/fd/${AGENT_FD}`, ['join', groupFds.join(','), this.#bwrapPath, ...args]]
      return startBoundary(file, argv, opened, spec)
    } catch (error) {
      throw new RuntimeError('failed', 'bwrap', `cannot start: ${messageOf(error)}`, { cause: error })
    } finally {
      for (const fd of opened) closeSync(fd)
    }
  }
}

interface Boundary {
  readonly pid: number
  readonly stream: Duplex
  readonly ended: Promise<Ended>
  stop(): Promise<void>
}

function startBoundary(file: string, argv: string[], inherited: number[], spec: LaunchSpec): Boundary {
  const subprocess = execa(file, argv, {
    // Any descriptor will do; the types know only the first few.
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', ...(inherited as 3[])],
    // libuv also drops the supplementary groups. Only root can be somebody else.
    ...(process.getuid?.() === 0 && { uid: spec.hostUid, gid: spec.hostGid }),
    cwd: '/',
    env: {},
    extendEnv: false,
    reject: false,
    buffer: false,
    // Its end is bound to ours by the kernel (die-with-parent), also when we are killed.
    cleanup: false,
  })
  const stream = subprocess.stdio[CHANNEL_FD] as unknown as Duplex
  const ended = watchEnd(subprocess as unknown as EndingProcess, subprocess.stderr as Readable)
  let over = false
  void ended.then(() => {
    over = true
  })
  const { pid } = subprocess
  return {
    // Where the start itself failed there is none, and `ended` says why.
    pid: pid ?? 0,
    stream,
    ended,
    async stop() {
      if (!over && pid !== undefined) killInit(pid)
      await ended
      stream.destroy()
    },
  }
}

interface EndingProcess {
  once(event: 'exit', listener: (code: number | null, signal: string | null) => void): unknown
  once(event: 'error', listener: (error: Error) => void): unknown
}

/** bubblewrap waits for the agent, and the kernel lets process 1 end last: when it has exited, all have. */
function watchEnd(subprocess: EndingProcess, stderr: Readable): Promise<Ended> {
  const words: Buffer[] = []
  let bytes = 0
  stderr.on('data', (piece: Buffer | string) => {
    if (bytes >= MAX_LAST_WORDS_BYTES) return
    words.push(Buffer.from(piece as string).subarray(0, MAX_LAST_WORDS_BYTES - bytes))
    bytes += piece.length
  })
  const said = new Promise<void>((resolve) => stderr.once('close', resolve))
  return new Promise((resolve) => {
    const end = async (how: Omit<Ended, 'message'>, otherwise: string): Promise<void> => {
      await said
      resolve({ ...how, message: Buffer.concat(words).toString('utf8').trim() || otherwise })
    }
    subprocess.once('error', (error) => void end({}, error.message))
    subprocess.once('exit', (code, signal) => {
      if (signal !== null) void end({ signal }, `ended by ${signal}`)
      else void end({ exitCode: code ?? 0 }, `exited with ${code}`)
    })
  })
}

/**
 * Kills process 1 of the sandbox, with which the kernel ends all the others. bubblewrap is killed itself only
 * where it has no child yet: otherwise it is the one that tells us that all of them have gone.
 */
function killInit(bwrapPid: number): void {
  const children = childrenOf(bwrapPid)
  for (const pid of children.length > 0 ? children : [bwrapPid]) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    return text.split(' ').filter((word) => word !== '').map(Number)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ESRCH') return []
    throw error
  }
}

/** Resolves when the agent has spoken. What it said stays in the stream for whoever reads it next. */
async function firstWords({ stream, ended }: Boundary, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
  let settle: (error?: Error) => void = () => undefined
  const spoken = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve() : reject(error))
  })
  const onReadable = () => settle(stream.readableLength > 0 ? undefined : new RuntimeError('failed', 'bwrap', 'the agent has gone at once'))
  const onAbort = () => settle(signal?.reason instanceof Error ? signal.reason : new Error('aborted'))
  const onError = (error: Error) => settle(new RuntimeError('failed', 'bwrap', `the channel broke: ${error.message}`))
  const timer = setTimeout(() => settle(new RuntimeError('failed', 'bwrap', `the agent did not speak within ${timeoutMs} ms`)), timeoutMs)
  stream.once('readable', onReadable)
  stream.once('error', onError)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    await Promise.race([
      spoken,
      // Why it ended says more than that the stream did.
      ended.then(({ message }) => Promise.reject(new RuntimeError('failed', 'bwrap', `bubblewrap did not start: ${message}`))),
    ])
  } catch (error) {
    if (!(error instanceof RuntimeError) || !stream.readableEnded) throw error
    throw new RuntimeError('failed', 'bwrap', `bubblewrap did not start: ${(await ended).message}`, { cause: error })
  } finally {
    clearTimeout(timer)
    stream.removeListener('readable', onReadable)
    stream.removeListener('error', onError)
    signal?.removeEventListener('abort', onAbort)
  }
}

function launched(boundary: Boundary, group: ControlGroup | undefined): Launched {
  let stopping: Promise<void> | undefined
  return {
    stream: boundary.stream,
    ended: boundary.ended,
    pid: boundary.pid,
    stop() {
      stopping ??= (async () => {
        await boundary.stop()
        await group?.remove()
      })()
      return stopping
    },
    stats: async () => (await group?.stats()) ?? {},
  }
}

function groupName(instance: string, sandboxId: string): string {
  return `croft-${instance}-${sandboxId}`
}

function capabilitiesOf(groups: ControlGroups | undefined): Capabilities {
  return {
    memoryLimit: groups?.controllers.has('memory') ?? false,
    cpuLimit: groups?.controllers.has('cpu') ?? false,
    pidsLimit: groups?.controllers.has('pids') ?? false,
    terminal: true,
    image: false,
    networkOff: true,
    networkAllowList: false,
    networkFull: false,
    stats: groups !== undefined,
  }
}

function unsupported({ limits, image, network }: LaunchSpec, can: Capabilities): string | undefined {
  const refuse = (field: string, why: string) => `${field} cannot be had: ${why}`
  const noGroup = 'no control group of that kind can be made here'
  if (limits.memoryBytes !== undefined && !can.memoryLimit) return refuse('limits.memoryBytes', noGroup)
  if (limits.cpuQuotaUs !== undefined && !can.cpuLimit) return refuse('limits.cpuQuotaUs', noGroup)
  if (limits.cpuShares !== undefined && !can.cpuLimit) return refuse('limits.cpuShares', noGroup)
  if (limits.pids !== undefined && !can.pidsLimit) return refuse('limits.pids', noGroup)
  if (image !== undefined && image !== '') return refuse('image', 'bubblewrap shows the host’s /usr')
  if (network.mode !== 'off') return refuse('network', `bubblewrap has no network of mode ${network.mode} yet`)
  return undefined
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
