import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CAPABILITIES, DeviceError, openFsLayerByDevice } from '../fs-layer/index.ts'
import { createPresetRegistry } from '../fs-layer/policy/presets.ts'
import { Store } from '../fs-layer/store/store.ts'
import { TreeBuilder } from '../fs-layer/store/tree-builder.ts'
import {
  AccessService,
  CheckpointService,
  CodebaseService,
  CommandService,
  DiffService,
  ExportJobService,
  ExportService,
  type ExportSpec,
  FileService,
  Health,
  PortService,
  SandboxService,
  ServerReflection,
  ServerService,
  SnapshotService,
  TrailService,
} from '../proto/index.ts'
import type { RuntimeName } from '../runtimes/contract/runtime.ts'
import { createRuntimes } from '../runtimes/registry.ts'
import { accessService } from './access/access-service.ts'
import { unauthenticated } from './access/caller.ts'
import { checkListen } from './access/check-listen.ts'
import { httpDoor, tcpDoor, unixDoors } from './access/doors.ts'
import { openFirstToken } from './access/first-token.ts'
import { Gate } from './access/gate.ts'
import { Guard } from './access/guard.ts'
import { peerUid } from './access/peer-uid.ts'
import { Quotas } from './access/quotas.ts'
import { Tokens } from './access/tokens.ts'
import { Windows } from './access/windows.ts'
import type { EndedCall } from './api/calls.ts'
import { Grpc } from './api/grpc-server.ts'
import { healthService } from './api/health-service.ts'
import { Listeners, type Tls } from './api/listeners.ts'
import { reflectionService } from './api/reflection-service.ts'
import { serverService } from './api/server-service.ts'
import { auditCalls } from './audit/audit-calls.ts'
import { openAudit } from './audit/open-audit.ts'
import { checkpointService } from './checkpoints/checkpoint-service.ts'
import { Checkpoints } from './checkpoints/checkpoints.ts'
import { codebaseService } from './codebases/codebase-service.ts'
import { Codebases } from './codebases/codebases.ts'
import { BackgroundCommands } from './commands/background-commands.ts'
import { commandService } from './commands/command-service.ts'
import { deferred } from './concurrency/deferred.ts'
import { Serial } from './concurrency/serial.ts'
import { Undo } from './concurrency/undo.ts'
import { ConfigError } from './config/config-error.ts'
import { mountsOf } from './config/locations.ts'
import { readTls } from './config/read-tls.ts'
import type { Config, ListenAddress } from './config/schema.ts'
import { diffService } from './diff/diff-service.ts'
import { ExportJobs } from './exports/export-jobs.ts'
import { exportService } from './exports/export-service.ts'
import { jobService, parseJob } from './exports/job-service.ts'
import { Schedules } from './exports/schedules.ts'
import { Versions } from './exports/versions.ts'
import { fileService } from './files/file-service.ts'
import { Gateway } from './http/gateway.ts'
import { HttpListener } from './http/http-listener.ts'
import { Clock } from './life/clock.ts'
import { openDataDir } from './life/data-dir.ts'
import { Idle } from './life/idle.ts'
import { Networks } from './network/networks.ts'
import { createLog, type Logger } from './observability/log.ts'
import { Status } from './observability/status.ts'
import { packageVersion } from './observability/version.ts'
import { portService } from './ports/port-service.ts'
import type { SandboxRecord } from './records/record-types.ts'
import { HostUids } from './sandboxes/host-uids.ts'
import { MountDirs } from './sandboxes/mount-dirs.ts'
import { Probes, whyNoRuntime } from './sandboxes/probes.ts'
import { recover } from './sandboxes/recover.ts'
import { sandboxService } from './sandboxes/sandbox-service.ts'
import { Sandboxes } from './sandboxes/sandboxes.ts'
import { Views } from './sandboxes/views.ts'
import { Sessions } from './sessions/sessions.ts'
import { foldSandbox } from './snapshots/fold-sandbox.ts'
import { snapshotService } from './snapshots/snapshot-service.ts'
import { Snapshots } from './snapshots/snapshots.ts'
import { trailService } from './trail/trail-service.ts'

export interface Server extends AsyncDisposable {
  /** Path of the unix socket. */
  readonly socket: string
  /** As bound, where it listens on TCP. */
  readonly address: ListenAddress | undefined
  /** The same of HTTP. */
  readonly httpAddress: ListenAddress | undefined
  /** Made anew at each start. */
  readonly instance: string
  readonly log: Logger
  /** Resolves when it has ended by itself: idle for long enough, or with the error that it could not live with. */
  readonly ended: Promise<Error | undefined>
  /**
   * Takes no more calls, ends streams, stops the sandboxes, flushes and closes everything. Calls under way have
   * `graceMs` (default: `limits.stopGraceMs`) to end.
   */
  stop(graceMs?: number): Promise<void>
}

/** Rejects with a `ConfigError` or a `StoreError` where it cannot run; nothing is left open then. */
export async function startServer(config: Config, log = createLog(config)): Promise<Server> {
  const undo = new Undo()
  try {
    return await assemble(config, log, undo)
  } catch (error) {
    await undo.run((err) => log.error({ err }, 'cannot undo a start that failed'))
    throw error
  }
}

/** The only place where the parts meet. What is opened is closed in reverse, by `undo`. */
async function assemble(config: Config, log: Logger, undo: Undo): Promise<Server> {
  const { limits } = config
  const instance = randomBytes(6).toString('hex')
  const nowMs = Date.now

  const dataDir = await openDataDir(config.dataDir, instance)
  const { records, deltasDir, storeDir, incomingDir } = dataDir
  undo.add(() => records[Symbol.asyncDispose]())
  const store = await Store.open({ dir: storeDir })
  undo.add(() => store[Symbol.asyncDispose]())
  const { fsLayer, choice } = await openFsLayerFor(config, storeDir, log)
  undo.add(() => fsLayer[Symbol.asyncDispose]())

  const isRoot = process.getuid?.() === 0
  const restingOwner = isRoot
    ? { uid: config.hostUids.first, gid: config.hostUids.first }
    : { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  const views = new Views({ deltasDir, idleMs: limits.viewIdleMs, restingOwner }, { fsLayer, nowMs })
  undo.add(() => views[Symbol.asyncDispose]())

  const mounts = mountsOf(config.dataDir, config.mountDir)
  const images = {
    archives: { roots: config.images.roots, maxImageBytes: limits.maxImageBytes },
    limits: engineLimits(limits),
  }
  const runtimes = createRuntimes({
    bwrap: { stateDir: join(mounts, 'bwrap') },
    docker: { socketPath: config.docker.socket, stateDir: join(mounts, 'docker'), ...images },
    podman: { socketPath: config.podman.socket, stateDir: join(mounts, 'podman'), ...images },
  })
  const probes = new Probes(runtimes)
  const serial = new Serial()
  const bytesOf = (root: string) => store.rootSync(root).bytes
  const quotas = new Quotas({ limits, quotas: config.quotas }, { records, bytesOf, nowMs })
  const snapshots = new Snapshots({ limits }, { store, records, serial, quotas, nowMs })
  const checkpoints = new Checkpoints({ limits }, { store, records, views, serial, nowMs })
  const codebases = new Codebases(
    { limits, emptyRoot: await emptyRootOf(store) },
    { store, records, serial, quotas, nowMs },
  )
  const networks = new Networks({ limits, most: config.network }, { saved: records.networkTrails, nowMs })
  const mountDirs = MountDirs.open(join(mounts, 'views'))
  const sandboxes = new Sandboxes(
    { limits },
    {
      ...{
        store,
        records,
        codebases,
        snapshots,
        checkpoints,
        serial,
        quotas,
        runtimes,
        views,
        networks,
        mountDirs,
        instance,
        nowMs,
        log,
      },
      device: choice.device,
      silence: { answerMaxMs: limits.agentAnswerMaxMs, silenceMaxMs: limits.agentSilenceMaxMs },
      limits,
      probes,
      hostUids: isRoot ? new HostUids(config.hostUids) : undefined,
    },
  )
  await recover(dataDir.previousInstances, { records, store, sandboxes, mountDirs, runtimes, deltasDir, nowMs, log })
  dataDir.markRecovered()
  undo.add(() => dataDir.markClean())
  undo.add(async () => {
    mountDirs.close()
    await rm(mounts, { recursive: true, force: true })
  })
  undo.add(() => sandboxes[Symbol.asyncDispose]())
  const sessions = new Sessions({ limits }, { records, sandboxes, nowMs, log })
  const commands = new BackgroundCommands({ limits }, { sandboxes, nowMs, log })
  const presets = createPresetRegistry()
  const probe = (name: RuntimeName) => probes.of(name)
  const defaultRuntime = defaultRuntimeOf(config, runtimes)
  const filesystem = { ...choice, capabilities: CAPABILITIES[choice.device] }

  const tokens = new Tokens({ limits }, { records, nowMs })
  const guesses = new Windows({ windowMs: 60_000, maxNames: limits.maxConnections }, { nowMs })
  const gate = new Gate(limits, { tokens, guesses })
  const guard = new Guard({ records, countCommand: (owner) => quotas.countCommand(owner) })
  const audit = openAudit(config, { nowMs, log, undo })
  const onEnd: ((call: EndedCall) => void)[] = audit === undefined ? [] : [auditCalls(audit)]
  const grpc = new Grpc(
    { maxMessageBytes: limits.maxMessageBytes },
    { gate, guard, log, onEnd: (call) => onEnd.forEach((tell) => tell(call)) },
  )
  const expired = unauthenticated('the token has expired', 'token_invalid')
  const cut = (tokenId: string, reason: Error) => grpc.calls.cut((id) => id === tokenId, reason)
  grpc.add(AccessService, accessService({ tokens, limits, cut }))
  grpc.add(CodebaseService, codebaseService({ codebases, store, quotas, limits, nowMs, serial }))
  grpc.add(
    SandboxService,
    sandboxService({
      ...{ sandboxes, sessions, views, presets, limits, serial },
      create: {
        ...{ limits, presets, probe, networks, seccomp: config.seccomp, device: CAPABILITIES[choice.device] },
        defaultRuntime,
      },
    }),
  )
  grpc.add(CommandService, commandService(commands))
  grpc.add(PortService, portService({ sandboxes, limits }))
  grpc.add(FileService, fileService({ sandboxes, views, limits }))
  grpc.add(SnapshotService, snapshotService({ sandboxes, snapshots, codebases, views, store, limits, serial }))
  const versionOf = async (sandbox: SandboxRecord, signal: AbortSignal) =>
    (await foldSandbox(sandbox, signal, { views, store, limits })).hash
  grpc.add(DiffService, diffService({ sandboxes, snapshots, checkpoints, store, versionOf }))
  grpc.add(CheckpointService, checkpointService({ sandboxes, snapshots, checkpoints, views, serial, store, limits }))
  const versions = new Versions({ views, store, limits })
  const jobs = new ExportJobs({ limits }, { store, records, versions, nowMs, log })
  undo.add(() => jobs[Symbol.asyncDispose]())
  const { roots } = config.exports
  const parse = (spec: ExportSpec) => parseJob(spec, { sandboxes, snapshots, codebases, limits })
  const schedules = new Schedules({ limits, roots }, { records, jobs, parse, nowMs, log })
  sandboxes.tell(schedules)
  await jobs.resume()
  grpc.add(ExportJobService, jobService({ sandboxes, snapshots, codebases, jobs, schedules, roots, limits }))
  grpc.add(
    ExportService,
    exportService({ sandboxes, snapshots, codebases, store, versions, limits, incomingDir, nowMs }),
  )
  grpc.add(TrailService, trailService({ sandboxes, codebases, views, networks, store, presets, limits }))
  grpc.add(ServerService, serverService({ instance, runtimes: [...runtimes.keys()], probe, filesystem, isRoot }))
  grpc.add(
    ServerReflection,
    reflectionService(() => grpc.services),
  )
  grpc.add(
    Health,
    healthService({
      services: () => new Set(grpc.services.map(({ typeName }) => typeName)),
      isReady: async () => (await status.readiness()).ready,
    }),
  )
  undo.add(() => grpc[Symbol.asyncDispose]())

  await openFirstToken(config, { tokens, log })
  checkListen(config, { tokens, log })
  const tls = readTls(config)
  const doorOf = unixDoors(config, process.getuid?.() ?? 0)
  const listeners = await Listeners.open({
    socket: config.socket,
    forOthers: config.peers.length > 0,
    listen: config.listen,
    tls,
    maxConnections: limits.maxConnections,
    onUnix: (connection) => grpc.open(doorOf(config.peers.length > 0 ? peerUid(connection) : undefined))(connection),
    onTcp: grpc.open(tcpDoor(config)),
    onRefused: (err) => log.debug({ err }, 'a connection was refused'),
  })
  undo.add(() => listeners[Symbol.asyncDispose]())
  const http = await openHttp(config, grpc, tls, log, undo)

  const { promise: ended, resolve: end } = deferred<Error | undefined>()
  let failure = choice.able ? undefined : choice.reason
  void fsLayer.died.then((error) => {
    failure = error.message
    end(error)
  })
  let stopping: Promise<void> | undefined
  const status = new Status(config, {
    ...{ version: packageVersion(), records, log, undo },
    openCalls: () => grpc.calls.open,
    connections: () => listeners,
    running: () => sandboxes.runningCount,
    openViews: () => views.size,
    waiting: () => serial.pending,
    filesystem: () => failure,
    runtime: () => whyNoRuntime(probes, defaultRuntime === 'auto' ? [...runtimes.keys()] : [defaultRuntime]),
    isStopping: () => stopping !== undefined,
  })
  onEnd.push((call) => status.noteCall(call))
  await status.listen()
  const idle = new Idle({
    idleExitMs: (config.idleExitSeconds ?? Number.POSITIVE_INFINITY) * 1000,
    isBusy: () =>
      listeners.connected > 0 ||
      (http?.connected ?? 0) > 0 ||
      grpc.calls.open > 0 ||
      sandboxes.runningCount > 0 ||
      jobs.runningCount > 0,
    nowMs: () => performance.now(),
    onIdle: () => end(undefined),
  })
  const clock = new Clock(
    [
      { name: 'expiry', run: () => sandboxes.destroyExpired() },
      { name: 'expired tokens', run: async () => grpc.calls.cut((id) => !tokens.isValid(id), expired) },
      { name: 'ended commands', run: async () => commands.sweep() },
      { name: 'idle views', run: () => views.sweep() },
      { name: 'scheduled exports', run: () => schedules.runDue() },
      { name: 'audit log', run: async () => audit?.sync() },
      { name: 'idle exit', run: async () => idle.check() },
    ],
    log,
  )
  undo.add(() => clock[Symbol.dispose]())

  const { address, socketPath: socket } = listeners
  const hurry = deferred<void>()
  const stopAll = async () => {
    log.info('stopping')
    clock[Symbol.dispose]()
    listeners.close()
    http?.close()
    grpc.calls.refuse()
    grpc.calls.abort()
    await sandboxes[Symbol.asyncDispose]()
    await Promise.race([grpc.calls.idle(), hurry.promise])
    await undo.run((err) => log.error({ err }, 'cannot close a part of the server'))
    log.info('stopped')
  }
  const stop = (graceMs: number = limits.stopGraceMs) => {
    setTimeout(hurry.resolve, graceMs).unref()
    stopping ??= stopAll()
    return stopping
  }
  const httpAddress = http?.address
  log.info({ socket, address, http: httpAddress, instance, dataDir: config.dataDir }, 'listening')
  return { socket, address, httpAddress, instance, log, ended, stop, [Symbol.asyncDispose]: () => stop() }
}

async function openHttp(config: Config, grpc: Grpc, tls: Tls | undefined, log: Logger, undo: Undo) {
  const { http, limits } = config
  if (http.listen === undefined) return undefined
  const gateway = new Gateway({
    services: grpc.services,
    accept: grpc.open(httpDoor(config)),
    maxBodyBytes: limits.maxMessageBytes,
    allowedOrigins: http.allowedOrigins,
    log,
  })
  undo.add(async () => gateway[Symbol.dispose]())
  const { maxConnections } = limits
  const listener = await HttpListener.open({ listen: http.listen, tls, maxConnections, gateway })
  undo.add(() => listener[Symbol.asyncDispose]())
  return listener
}

async function openFsLayerFor({ fs, limits }: Config, storeDir: string, log: Logger) {
  try {
    return await openFsLayerByDevice(fs.device, {
      storeDir,
      syncLogBytes: limits.syncLogBytesPerSandbox,
      onLog: (level, message, fields) => log[level](fields, message),
    })
  } catch (error) {
    if (error instanceof DeviceError) throw new ConfigError(`\`fs.device\`: ${error.message}`, { cause: error })
    throw error
  }
}

async function emptyRootOf(store: Store): Promise<string> {
  const { hash } = await new TreeBuilder({}, { store }).finish()
  return hash
}

function engineLimits({ engineAnswerMs, engineWorkMs, containerAgentMs, imageMs }: Config['limits']) {
  const work = { createMs: engineWorkMs, startMs: engineWorkMs, removeMs: engineWorkMs }
  return { answerMs: engineAnswerMs, ...work, agentMs: containerAgentMs, imageMs }
}

function defaultRuntimeOf(
  { defaultRuntime }: Config,
  runtimes: ReadonlyMap<RuntimeName, unknown>,
): RuntimeName | 'auto' {
  if (defaultRuntime === 'auto') return 'auto'
  const found = [...runtimes.keys()].find((name) => name === defaultRuntime)
  if (found !== undefined) return found
  throw new ConfigError(
    `\`defaultRuntime\`: there is no runtime \`${defaultRuntime}\`: there are auto, ${[...runtimes.keys()].join(', ')}`,
  )
}
