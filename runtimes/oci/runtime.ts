import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { agentBinaryPath } from '../agent/binary.ts'
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
import type { ArchivePlaces } from './archive/image-archive.ts'
import { Engine, type EngineInfo, type EngineName } from './engine.ts'
import type { Image } from './image.ts'
import { obtainImage } from './images.ts'
import { OCI_LIMITS, type OciLimits } from './limits.ts'
import { type MeetingPlace, openMeetingPlace } from './meeting-place.ts'
import { AGENT_INSIDE, type OciSources, planOci } from './plan.ts'
import { probeOci } from './probe.ts'
import { dockerConfigPath } from './registry-login.ts'
import { NO_RUNSC, RUNSC, RUNSC_SETTINGS } from './remedy.ts'
import { type Removal, RunningContainer } from './running-container.ts'

/** The kernel of a sandbox is the host's, or for `gvisor` one of Docker's runtime `runsc`. */
export type OciName = EngineName | 'gvisor'

export interface OciOptions {
  readonly name: OciName
  /** The engine's. */
  readonly socketPath: string
  /** For what a probe needs. The sandboxes' users must be able to reach it (mode 0711 above). */
  readonly stateDir: string
  /** Default: where the build puts it. */
  readonly agentPath?: string
  readonly limits?: Partial<OciLimits>
  /** Where archives of images may lie, and how large one may be. Default: nowhere. */
  readonly archives?: ArchivePlaces
  /** Default: this user's, as `docker login` writes it. */
  readonly dockerConfig?: string
}

/** Docker and Podman, by the interface that both have; and gVisor, which Docker starts. */
export function createOciRuntime(options: OciOptions): Runtime {
  return new OciRuntime(options)
}

class OciRuntime implements Runtime {
  readonly name: OciName
  readonly #engineName: EngineName
  readonly #options: OciOptions
  readonly #limits: OciLimits
  readonly #agentPath: string
  /** Made when it is first used: nothing happens for a runtime that nobody asks for. */
  #made: Engine | undefined
  #info: Promise<EngineInfo> | undefined
  /** Names of containers that an engine did not remove when it was asked to. */
  readonly #leftovers = new Set<string>()

  constructor(options: OciOptions) {
    this.name = options.name
    this.#engineName = options.name === 'gvisor' ? 'docker' : options.name
    this.#options = options
    this.#limits = { ...OCI_LIMITS, ...options.limits }
    this.#agentPath = options.agentPath ?? agentBinaryPath()
  }

  probe(): Promise<Probe> {
    const { socketPath, stateDir } = this.#options
    return probeOci(
      {
        name: this.name,
        engineName: this.#engineName,
        socketPath,
        stateDir,
        agentPath: this.#agentPath,
        lacks: this.name === 'gvisor' ? GVISOR_LACKS : undefined,
      },
      {
        engine: () => this.#engine,
        launch: (spec) => this.launch(spec),
        capabilitiesOf: (info) => capabilitiesOf(this.name, info),
      },
    )
  }

  async launch(spec: LaunchSpec, signal?: AbortSignal): Promise<Launched> {
    signal?.throwIfAborted()
    const fault = faultInSpec(spec)
    if (fault !== undefined) throw this.#error('failed', fault)
    // One engine refuses a path that is not there, the other makes it, on the host.
    if (!existsSync(spec.viewPath)) throw this.#error('failed', `viewPath is not there: ${spec.viewPath}`)
    await this.#removeLeftovers()
    const info = await this.#engineInfo()
    if (this.name === 'gvisor' && !info.runtimes.includes(RUNSC)) throw this.#error('unavailable', REGISTER_RUNSC)
    const lacking = unsupported(spec, capabilitiesOf(this.name, info))
    if (lacking !== undefined) throw this.#error('unsupported', lacking)
    const image = await obtainImage(
      spec,
      {
        runtime: this.#engineName,
        archives: this.#options.archives ?? NO_ARCHIVES,
        dockerConfig: this.#options.dockerConfig ?? dockerConfigPath(),
      },
      { engine: this.#engine, signal },
    )
    const name = `croft-${spec.instance}-${spec.sandboxId}-${randomBytes(4).toString('hex')}`
    const sources = await this.#sources(spec)
    const place = await this.#meetingPlace(sources.socket, spec)
    try {
      signal?.throwIfAborted()
      await this.#engine.create(name, planOci(spec, image, sources, this.name === 'gvisor' ? RUNSC : undefined))
      await this.#start(name)
      return await this.#meet(name, { spec, image, place, signal })
    } catch (error) {
      await this.#remove(name)
      throw error
    } finally {
      place.close()
    }
  }

  async reap({ instance, sandboxIds }: LeftBehind): Promise<void> {
    // On most hosts: no engine, and so nothing of ours there.
    if (!existsSync(this.#options.socketPath)) return
    for (const { id, sandboxId } of await this.#engine.containersOf(instance)) {
      if (sandboxIds.includes(sandboxId)) await this.#engine.remove(id)
    }
  }

  get #engine(): Engine {
    this.#made ??= new Engine(this.#engineName, this.#options.socketPath, this.#limits)
    return this.#made
  }

  async #engineInfo(): Promise<EngineInfo> {
    this.#info ??= this.#engine.info()
    try {
      return await this.#info
    } catch (error) {
      this.#info = undefined
      throw error
    }
  }

  async #sources({ scratchDir, hostname }: LaunchSpec): Promise<OciSources> {
    const [hosts, resolvConf] = [join(scratchDir, 'hosts'), join(scratchDir, 'resolv.conf')]
    await writeFile(hosts, `127.0.0.1 localhost ${hostname}\n::1 localhost\n`, { mode: 0o444 })
    await writeFile(resolvConf, '', { mode: 0o444 })
    return { agent: this.#agentPath, socket: join(scratchDir, 'agent.sock'), hosts, resolvConf }
  }

  async #meetingPlace(path: string, { hostUid, hostGid }: LaunchSpec): Promise<MeetingPlace> {
    try {
      return await openMeetingPlace(path, { uid: hostUid, gid: hostGid })
    } catch (error) {
      throw this.#error('failed', `cannot listen at ${path}: ${messageOf(error)}`, error)
    }
  }

  async #meet(
    name: string,
    {
      spec,
      image,
      place,
      signal,
    }: { spec: LaunchSpec; image: Image; place: MeetingPlace; signal: AbortSignal | undefined },
  ): Promise<Launched> {
    const running = await RunningContainer.meet(
      {
        name,
        runtime: this.name,
        processUid: this.name === 'gvisor' ? GVISOR_UID : spec.hostUid,
        limits: this.#limits,
        place,
        signal,
      },
      { engine: this.#engine, remove: () => this.#remove(name) },
    )
    return {
      stream: running.stream,
      env: image.env,
      ...(image.cwd === undefined ? {} : { cwd: image.cwd }),
      ended: running.ended,
      pid: running.pid,
      stop: () => running.stop(),
      stats: () => (this.name === 'gvisor' ? withoutProcesses(running.stats()) : running.stats()),
      oomKills: () => running.oomKills(),
    }
  }

  /**
   * Docker (20.10) starts a container now and then whose root it has not mounted yet, several at once more often, and says
   * then of the agent, which is bound into it, that it is not to be had. Nothing has run; the next start finds all of it.
   */
  async #start(name: string): Promise<void> {
    try {
      await this.#engine.start(name)
    } catch (error) {
      if (!(error instanceof RuntimeError) || !error.message.includes(`"${AGENT_INSIDE}": stat`)) throw error
      await this.#engine.start(name)
    }
  }

  /** An engine that does not answer is asked again at the next launch. */
  async #remove(name: string): Promise<Removal> {
    this.#leftovers.add(name)
    try {
      await this.#engine.remove(name)
    } catch (error) {
      if (error instanceof RuntimeError) return error.code === 'unavailable' ? 'unavailable' : 'refused'
      throw error
    }
    this.#leftovers.delete(name)
    return 'removed'
  }

  async #removeLeftovers(): Promise<void> {
    for (const name of [...this.#leftovers]) {
      await this.#engine.remove(name)
      this.#leftovers.delete(name)
    }
  }

  #error(code: RuntimeError['code'], message: string, cause?: unknown): RuntimeError {
    return new RuntimeError(code, this.name, message, { cause })
  }
}

const REGISTER_RUNSC = `${NO_RUNSC}: apt-get install runsc, put ${RUNSC_SETTINGS} into /etc/docker/daemon.json, and systemctl restart docker`

/** Nobody: whom gVisor's kernel runs as on the host, whatever users it shows to those inside. */
const GVISOR_UID = 65_534

const GVISOR_LACKS = {
  terminal: 'gVisor gives the far side of one by name only, and does not tell its end',
  pidsLimit: 'the host sees threads of its kernel, which ends where it gets no more of them; the memory limit holds',
}

const NO_ARCHIVES: ArchivePlaces = { roots: [], maxImageBytes: 0 }

function capabilitiesOf(name: OciName, { memoryLimit, cpuLimit, pidsLimit }: EngineInfo): Capabilities {
  return {
    // The host sees threads of gVisor's kernel in the place of processes, and one that gets no more of them ends.
    ...{ memoryLimit, cpuLimit, pidsLimit: pidsLimit && name !== 'gvisor' },
    openFilesLimit: true,
    fileSizeLimit: true,
    tmpLimit: true,
    terminal: name !== 'gvisor',
    image: true,
    networkOff: true,
    networkAllowList: true,
    networkFull: false,
    stats: true,
    systemCallFilter: canFilterSystemCalls(),
  }
}

function unsupported({ limits, network }: LaunchSpec, can: Capabilities): string | undefined {
  const refuse = (field: string, why: string) => `${field} cannot be had: ${why}`
  const notKept = 'it is not kept here'
  if (limits.memoryBytes !== undefined && !can.memoryLimit) return refuse('limits.memoryBytes', notKept)
  if (limits.cpuQuotaUs !== undefined && !can.cpuLimit) return refuse('limits.cpuQuotaUs', notKept)
  if (limits.cpuShares !== undefined && !can.cpuLimit) return refuse('limits.cpuShares', notKept)
  if (limits.pids !== undefined && !can.pidsLimit) return refuse('limits.pids', notKept)
  return network.mode === 'full' ? refuse('network', 'containers have none of mode full yet') : undefined
}

/** Those that the host counts are none of the sandbox's. */
async function withoutProcesses(counted: Promise<Stats>): Promise<Stats> {
  const { pids: _, ...rest } = await counted
  return rest
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
