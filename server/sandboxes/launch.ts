import { type Bandwidth, CAPABILITIES, type HostDevice } from '../../fs-layer/index.ts'
import { connectAgent } from '../../runtimes/agent/client.ts'
import { type Agent, AgentError } from '../../runtimes/contract/agent.ts'
import type { LaunchSpec, Runtime } from '../../runtimes/contract/runtime.ts'
import { systemCallFilter } from '../../runtimes/seccomp/filter.ts'
import { oneAtATime } from '../concurrency/one-at-a-time.ts'
import { Undo } from '../concurrency/undo.ts'
import type { Limits } from '../config/limits.ts'
import { BASE_ENVIRONMENT } from '../exec/environment.ts'
import type { Networks } from '../network/networks.ts'
import { rulesOf } from '../network/parse-network.ts'
import { proxyEnvironment } from '../network/proxy-environment.ts'
import type { Logger } from '../observability/log.ts'
import type { SandboxRecord } from '../records/record-types.ts'
import type { HostUids } from './host-uids.ts'
import type { MountDirs } from './mount-dirs.ts'
import type { Probes } from './probes.ts'
import { bandwidthOf, limitsInForce, runtimeLimits } from './resource-limits.ts'
import { type RunningParts, WORKSPACE } from './running.ts'
import type { StartOptions } from './sandboxes.ts'
import type { Views } from './views.ts'

export interface LaunchDependencies {
  readonly instance: string
  readonly views: Views
  /** Through which views are mounted. */
  readonly device: HostDevice
  readonly mountDirs: MountDirs
  readonly networks: Networks
  /** Absent where the server is not root: everything then runs as the server's own user. */
  readonly hostUids: HostUids | undefined
  /** How long the agent may be silent. */
  readonly silence: { readonly answerMaxMs: number; readonly silenceMaxMs: number }
  readonly limits: Limits
  readonly probes: Probes
  readonly log: Logger
}

/**
 * From a record to a running sandbox: host user, mount, boundary, agent. Whatever fails, all that was done is
 * undone, in reverse.
 */
export async function launch(
  sandbox: SandboxRecord,
  runtime: Runtime,
  { instance, views, device, mountDirs, hostUids, networks, silence, limits, probes, log }: LaunchDependencies,
  { onImage, signal }: Pick<StartOptions, 'onImage' | 'signal'> = {},
): Promise<RunningParts> {
  const undo = new Undo()
  let settled: Promise<void> | undefined
  try {
    const hostUid = hostUids?.take() ?? process.getuid?.() ?? 0
    const hostGid = hostUids === undefined ? (process.getgid?.() ?? 0) : hostUid
    undo.add(() => hostUids?.give(hostUid))

    const dirs = mountDirs.make(sandbox.id, hostGid)
    undo.add(() => mountDirs.remove(sandbox.id))

    const probe = await probes.of(runtime.name)
    const { bandwidth } = CAPABILITIES[device]
    const inForce =
      probe === undefined ? sandbox.limits : limitsInForce(sandbox.limits, limits, { ...probe.capabilities, bandwidth })
    const network = sandbox.network ?? { mode: 'off' }
    networks.checkAllowed(network)
    const mounting = (async () => {
      const view = await views.lease(sandbox, { uid: hostUid, gid: hostGid })
      undo.add(() => view.release())
      await view.view.mount(dirs.view, { device, unprivileged: hostUid !== 0 })
      undo.add(() => view.view.unmount())
      if (isLimited(bandwidthOf(inForce))) await view.view.setBandwidth(bandwidthOf(inForce))
      return view
    })()
    // Before anything is undone, it is known what there is to be undone.
    settled = mounting.then(ignore, ignore)
    const mounted = mounting.then(ignore)
    // Whoever waits for it is told; a launch that fails sooner does not.
    mounted.catch(ignore)
    if (runtime.takesMountLate !== true) await mounting
    const spec: LaunchSpec = {
      sandboxId: sandbox.id,
      instance,
      viewPath: dirs.view,
      mounted,
      workspace: WORKSPACE,
      hostUid,
      hostGid,
      scratchDir: dirs.scratch,
      hostname: 'sandbox',
      ...(sandbox.image === undefined ? {} : { image: sandbox.image, pull: sandbox.pull ?? 'missing' }),
      ...(onImage === undefined ? {} : { onImage }),
      limits: runtimeLimits(inForce),
      network,
    }
    const launched = await runtime.launch(spec, signal)
    const view = await mounting
    undo.add(() => launched.stop())
    // Sent before anything can be started.
    const agent = connectAgent(launched.stream, {
      ...silence,
      systemCallFilter: systemCallFilter(sandbox.seccomp ?? 'default'),
      env: {
        ...BASE_ENVIRONMENT,
        ...launched.env,
        ...(network.mode === 'allow-list' ? proxyEnvironment() : {}),
      },
      sync: oneAtATime(() =>
        view.view.sync().catch((err: unknown) => {
          log.error({ err, sandbox: sandbox.id }, 'what a program wanted synced could not be')
          throw err
        }),
      ),
    })
    undo.add(() => agent.close())
    if (network.mode === 'allow-list') await networks.attach(sandbox.id, agent, rulesOf(network.allow))
    const cwd = (await isThere(agent, launched.cwd)) ?? WORKSPACE
    return { sandboxId: sandbox.id, hostUid, limits: inForce, cwd, launched, agent, view }
  } catch (error) {
    await settled
    await undo.run((err) => log.error({ err, sandbox: sandbox.id }, 'cannot undo a start that failed'))
    throw error
  }
}

/**
 * The reverse. Goes through to its end whatever fails on the way; what fails is in the log. Resolves with the reason if
 * what the sandbox wrote could not be made durable.
 */
export async function teardown(
  { sandboxId, hostUid, limits, launched, agent, view }: RunningParts,
  { mountDirs, hostUids, networks, log }: LaunchDependencies,
): Promise<unknown> {
  let notDurable: unknown
  const undo = new Undo()
  undo.add(() => hostUids?.give(hostUid))
  undo.add(() => mountDirs.remove(sandboxId))
  undo.add(() => view.release())
  // After the processes, so that what they write last still meets a filesystem.
  undo.add(() =>
    view.view.unmount().catch((error: unknown) => {
      notDurable = error
      throw error
    }),
  )
  undo.add(() => launched.stop())
  undo.add(() => networks.save(sandboxId))
  undo.add(() => agent.close())
  // Or what programs wrote last would hold up their end.
  if (isLimited(bandwidthOf(limits))) undo.add(() => view.view.setBandwidth({}))
  await undo.run((err) => log.error({ err, sandbox: sandboxId }, 'cannot clean up after a sandbox'))
  return notDurable
}

/** The directory, where a command could begin in it. A directory is no program: nothing is started by this. */
async function isThere(agent: Agent, cwd: string | undefined): Promise<string | undefined> {
  if (cwd === undefined) return undefined
  const error = await agent.spawn({ argv: ['/'], env: {}, cwd }).catch((reason: unknown) => reason)
  if (error instanceof AgentError && error.code === 'spawn') return error.stage === 'exec' ? cwd : undefined
  throw error
}

function ignore(): void {
  // What came of it is somebody else's affair.
}

function isLimited(bandwidth: Bandwidth): boolean {
  return Object.keys(bandwidth).length > 0
}
