import { closeSync, openSync } from 'node:fs'
import { agentBinaryPath } from '../agent/binary.ts'
import { detectControlGroups } from '../cgroup/detect.ts'
import type { ControlGroup, ControlGroups } from '../cgroup/group.ts'
import type { Capabilities } from '../contract/capabilities.ts'
import {
  type Launched,
  type LaunchSpec,
  type LeftBehind,
  type Probe,
  type Runtime,
  RuntimeError,
  type Stats,
} from '../contract/runtime.ts'
import { faultInSpec } from '../contract/spec.ts'
import { canFilterSystemCalls } from '../seccomp/filter.ts'
import { type Boundary, firstWords, startBoundary } from './boundary.ts'
import { cpuTimeOfTree } from './cpu-time.ts'
import { attachFullNetwork, type FullNetwork, lackOfFullNetwork } from './full-network.ts'
import { readHost } from './host.ts'
import { AGENT_FD, type BwrapHost, FIRST_GROUP_FD, planBwrap } from './plan.ts'
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

export function createBwrapRuntime(options: BwrapOptions): Runtime {
  return new BwrapRuntime(options)
}

class BwrapRuntime implements Runtime {
  readonly name = 'bwrap'
  readonly takesMountLate = true
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
    const timeoutMs = this.#options.launchTimeoutMs ?? 10_000
    let boundary: Boundary | undefined
    let network: FullNetwork | undefined
    try {
      signal?.throwIfAborted()
      if (group === undefined) await spec.mounted
      boundary = this.#start(spec, host, group)
      await spec.mounted
      boundary.go()
      await firstWords(boundary, timeoutMs, signal)
      if (spec.network.mode === 'full') network = await this.#attach(boundary, timeoutMs, signal)
    } catch (error) {
      await boundary?.stop()
      await network?.stop()
      await group?.remove()
      throw error
    }
    return launched(boundary, group, network)
  }

  async reap({ instance, sandboxIds }: LeftBehind): Promise<void> {
    // Processes end with the server that started them; what can stay is their group.
    const { groups } = await this.#prepare()
    for (const sandboxId of sandboxIds) await groups?.reap(groupName(instance, sandboxId))
  }

  async #attach(boundary: Boundary, timeoutMs: number, signal: AbortSignal | undefined): Promise<FullNetwork> {
    const initPid = boundary.initPid()
    if (initPid === undefined) throw new RuntimeError('failed', 'bwrap', 'it ended before it had a network')
    const timeout = AbortSignal.timeout(timeoutMs)
    const until = signal === undefined ? timeout : AbortSignal.any([signal, timeout])
    return await attachFullNetwork(initPid, { agentPath: this.#agentPath, signal: until })
  }

  get #agentPath(): string {
    return this.#options.agentPath ?? agentBinaryPath()
  }

  #prepare(): Promise<{ host: BwrapHost; groups: ControlGroups | undefined }> {
    this.#prepared ??= (async () => {
      try {
        const [host, groups] = await Promise.all([
          readHost(this.#options.stateDir, this.#agentPath),
          detectControlGroups(),
        ])
        return { host, groups }
      } catch (error) {
        this.#prepared = undefined
        throw new RuntimeError('failed', 'bwrap', `cannot prepare ${this.#options.stateDir}: ${messageOf(error)}`, {
          cause: error,
        })
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
      // Through the agent's other trade: it enters the groups, waits until it may go on, then becomes bubblewrap.
      const joins = groupFds.length > 0
      const [file, argv] = joins
        ? [`/proc/self/fd/${AGENT_FD}`, ['join', groupFds.join(','), this.#bwrapPath, ...args]]
        : [this.#bwrapPath, args]
      return startBoundary({ file, argv, waits: joins, inherited: opened }, spec)
    } catch (error) {
      throw new RuntimeError('failed', 'bwrap', `cannot start: ${messageOf(error)}`, { cause: error })
    } finally {
      for (const fd of opened) closeSync(fd)
    }
  }
}

function launched(boundary: Boundary, group: ControlGroup | undefined, network: FullNetwork | undefined): Launched {
  let stopping: Promise<void> | undefined
  return {
    stream: boundary.stream,
    ended: boundary.ended,
    pid: boundary.pid,
    stop() {
      stopping ??= (async () => {
        await boundary.stop()
        await network?.stop()
        await group?.remove()
      })()
      return stopping
    },
    stats: () => stats(boundary, group),
    oomKills: () => group?.oomKills(),
  }
}

async function stats({ pid }: Boundary, group: ControlGroup | undefined): Promise<Stats> {
  const counted = (await group?.stats()) ?? {}
  const cpuUs = counted.cpuUs ?? (await cpuTimeOfTree(pid))
  const { pids } = counted
  return {
    ...counted,
    ...(pids === undefined ? {} : { pids: Math.max(0, pids - OWN_PROCESSES) }),
    ...(cpuUs === undefined ? {} : { cpuUs }),
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
    openFilesLimit: true,
    fileSizeLimit: true,
    tmpLimit: true,
    terminal: true,
    image: false,
    networkOff: true,
    // The same as off: what the agent accepts on the loop-back goes to the server, which decides.
    networkAllowList: true,
    networkFull: lackOfFullNetwork() === undefined,
    stats: groups !== undefined,
    systemCallFilter: canFilterSystemCalls(),
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
  if (network.mode === 'full' && !can.networkFull) return refuse('network', lackOfFullNetwork() ?? 'it is not there')
  return undefined
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
