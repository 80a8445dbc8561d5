import type { ContainerCreateOptions, HostConfig } from 'dockerode'
import type { LaunchSpec } from '../contract/runtime.ts'
import { HOME } from '../contract/spec.ts'
import type { Image } from './image.ts'

/** Host paths that are bound into the container; nothing else of the host is. */
export interface OciSources {
  readonly agent: string
  /** Where the server waits for the agent. */
  readonly socket: string
  /** In the place of what the engine would copy from the host. */
  readonly hosts: string
  readonly resolvConf: string
}

const OWN_DIR = '/.croft'
export const AGENT_INSIDE = `${OWN_DIR}/agent`
const SOCKET_INSIDE = `${OWN_DIR}/socket`

/** Who made a container, and for what: only one that has both is ever removed. */
export const INSTANCE_LABEL = 'croft.instance'
export const SANDBOX_LABEL = 'croft.sandbox'

/** The agent is one more process in the container's group. */
export const OWN_PROCESSES = 1

/** The types of the package do not know it. */
const OWN_CGROUP_NAMESPACE: object = { CgroupnsMode: 'private' }

/** Of a kernel that is a program: the host is not to run out of them, whatever those inside start. */
const MOST_KERNEL_THREADS = 8_192

const CPU_PERIOD_US = 100_000
/** Of `/tmp`, and of the home, where the limits do not say. */
const DEFAULT_TMP_BYTES = 1 << 30
const RUN_BYTES = 16 << 20
const SHM_BYTES = 64 << 20

/**
 * What an engine is asked to make for one sandbox. Pure. The image's root is read-only: a directory in it that anybody
 * may write to is on the engine's disk, where no quota of ours counts. What can be written to is the view, and places
 * in memory that have a size.
 */
export function planOci(
  spec: LaunchSpec,
  image: Image,
  sources: OciSources,
  /** What the engine runs the container with, where that is not its usual. */
  runtime?: string,
): ContainerCreateOptions {
  return {
    Image: image.id,
    // The image's ENTRYPOINT and CMD never run: the agent is process 1.
    Entrypoint: [AGENT_INSIDE],
    Cmd: ['connect', SOCKET_INSIDE, ...processLimits(spec.limits)],
    // Numbers, both: with a group that is named nothing is looked up in the image's /etc/passwd and /etc/group.
    User: `${spec.hostUid}:${spec.hostGid}`,
    WorkingDir: '/',
    Hostname: spec.hostname,
    ...{ Tty: false, OpenStdin: false, AttachStdin: false, AttachStdout: false, AttachStderr: false },
    // An engine that ends, and ends its containers, is not to wait for an agent that takes no signals.
    StopSignal: 'SIGKILL',
    // The engine would run it inside, beside the agent and without its filter.
    ...(image.hasHealthcheck ? { Healthcheck: { Test: ['NONE'] } } : {}),
    Labels: { [INSTANCE_LABEL]: spec.instance, [SANDBOX_LABEL]: spec.sandboxId },
    HostConfig: {
      ...(runtime === undefined ? {} : { Runtime: runtime }),
      // No process but the agent before the agent.
      Init: false,
      RestartPolicy: { Name: 'no' },
      AutoRemove: false,
      Privileged: false,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges:true'],
      ReadonlyRootfs: true,
      NetworkMode: 'none',
      IpcMode: 'private',
      ...OWN_CGROUP_NAMESPACE,
      // The users inside are the host's, also where the engine shifts those of its other containers.
      UsernsMode: 'host',
      Mounts: mounts(spec, sources),
      ...memory(spec.limits, image.volumes),
      ...limits(spec.limits),
      ...(runtime === undefined ? {} : { PidsLimit: MOST_KERNEL_THREADS }),
    },
  }
}

function mounts(spec: LaunchSpec, sources: OciSources): HostConfig['Mounts'] {
  const bind = (Source: string, Target: string, ReadOnly: boolean) => ({
    ...{ Type: 'bind' as const, Source, Target, ReadOnly },
    BindOptions: { Propagation: 'rprivate' as const },
  })
  return [
    bind(sources.agent, AGENT_INSIDE, true),
    bind(sources.socket, SOCKET_INSIDE, true),
    bind(sources.hosts, '/etc/hosts', true),
    bind(sources.resolvConf, '/etc/resolv.conf', true),
    bind(spec.viewPath, spec.workspace, false),
  ]
}

/**
 * All of it together stays well below the memory, so that a full one is a write that fails and not the end of the
 * sandbox. A volume of the image would be a directory on the engine's disk.
 */
function memory(
  { memoryBytes = Number.POSITIVE_INFINITY, tmpBytes }: LaunchSpec['limits'],
  volumes: readonly string[],
) {
  const large = tmpBytes ?? Math.min(DEFAULT_TMP_BYTES, memoryBytes / 4)
  const home = Math.min(large, memoryBytes / 4)
  const small = Math.min(RUN_BYTES, memoryBytes / 16)
  const own = { '/tmp': large, [HOME]: home, '/var/tmp': small, '/run': small }
  const wanted = volumes.filter((path) => !Object.hasOwn(own, path) && path !== '/dev/shm')
  const sizes = { ...own, ...Object.fromEntries(wanted.map((path) => [path, small / wanted.length])) }
  return {
    Tmpfs: {
      // Root's, so that nobody inside writes there. Docker now and then makes a place to mount on with no rights at all.
      [OWN_DIR]: 'rw,noexec,nosuid,nodev,mode=755,size=65536',
      // Anybody inside is the one user there is; and not every engine gives a tmpfs an owner.
      ...Object.fromEntries(
        Object.entries(sizes).map(([path, bytes]) => [
          path,
          `rw,exec,nosuid,nodev,mode=1777,size=${Math.max(4096, Math.floor(bytes))}`,
        ]),
      ),
    },
    ShmSize: Math.floor(Math.min(SHM_BYTES, memoryBytes / 8)),
  }
}

function limits({ memoryBytes, cpuQuotaUs, cpuShares, pids }: LaunchSpec['limits']) {
  return {
    // Together with swap it is as much as without.
    ...(memoryBytes === undefined ? {} : { Memory: memoryBytes, MemorySwap: memoryBytes }),
    ...(cpuQuotaUs === undefined ? {} : { CpuQuota: cpuQuotaUs, CpuPeriod: CPU_PERIOD_US }),
    ...(cpuShares === undefined ? {} : { CpuShares: cpuShares }),
    ...(pids === undefined ? {} : { PidsLimit: pids + OWN_PROCESSES }),
  }
}

/** Of each process inside, for the agent to set: a dash is no limit. */
function processLimits({ openFiles, fileBytes }: LaunchSpec['limits']): string[] {
  return [openFiles, fileBytes].map((limit) => (limit === undefined ? '-' : String(limit)))
}
