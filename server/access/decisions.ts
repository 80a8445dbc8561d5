import type { DescMethod } from '@bufbuild/protobuf'
import type {
  AccessService,
  CheckpointService,
  CodebaseService,
  CommandService,
  DiffService,
  ExportJobService,
  ExportService,
  FileService,
  Health,
  PortService,
  ReadCommandOutputRequest,
  SandboxService,
  ServerReflection,
  ServerService,
  SnapshotService,
  TrailService,
} from '../../proto/index.ts'

/**
 * What a caller must be allowed to. Each includes the ones before it: they are nobody, and the roles read-only, user and
 * admin.
 */
export type Need = 'nothing' | 'read' | 'write' | 'admin'

/** What is decided about a method, beside that the ids in its requests are looked up for the caller. */
export interface Decision {
  readonly needs: Need | ((request: never) => Need)
  /** The ids in its requests only narrow a list, which has what the caller sees and nothing else. */
  readonly filters?: true
  /** It starts a command, of which an owner may start so many in a minute. */
  readonly starts?: 'command'
}

const READ: Decision = { needs: 'read' }
const LIST: Decision = { needs: 'read', filters: true }
const WRITE: Decision = { needs: 'write' }
const RUN: Decision = { needs: 'write', starts: 'command' }
const ADMIN: Decision = { needs: 'admin' }
const ADMIN_LIST: Decision = { needs: 'admin', filters: true }

type Decisions<S extends { method: object }> = { readonly [K in keyof S['method']]: Decision }

const codebases: Decisions<typeof CodebaseService> = {
  createCodebase: WRITE,
  getCodebase: READ,
  listCodebases: LIST,
  deleteCodebase: WRITE,
  uploadFiles: WRITE,
  downloadFile: READ,
  listFiles: READ,
  putTree: WRITE,
}

const sandboxes: Decisions<typeof SandboxService> = {
  createSandbox: WRITE,
  getSandbox: READ,
  listSandboxes: LIST,
  startSandbox: WRITE,
  stopSandbox: WRITE,
  destroySandbox: WRITE,
  exec: RUN,
  execStream: RUN,
  execInteractive: RUN,
  createSession: RUN,
  getSession: READ,
  listSessions: READ,
  destroySession: WRITE,
  sessionExec: RUN,
  sessionExecStream: RUN,
  setPermissions: WRITE,
  getUsage: READ,
  listPresets: READ,
  getStats: READ,
  watchStats: READ,
  watchStart: WRITE,
}

const commands: Decisions<typeof CommandService> = {
  startCommand: RUN,
  getCommand: READ,
  listCommands: READ,
  readCommandOutput: { needs: ({ killOnCancel }: ReadCommandOutputRequest) => (killOnCancel ? 'write' : 'read') },
  waitCommand: READ,
  signalCommand: WRITE,
}

const files: Decisions<typeof FileService> = {
  readFile: READ,
  writeFile: WRITE,
  statFile: READ,
  listDirectory: READ,
  makeDirectory: WRITE,
  removeFile: WRITE,
  renameFile: WRITE,
  watchFiles: READ,
}

const snapshots: Decisions<typeof SnapshotService> = {
  listChanges: READ,
  exportSnapshot: READ,
  createSnapshot: WRITE,
  getSnapshot: READ,
  listSnapshots: LIST,
  deleteSnapshot: WRITE,
  restoreSnapshot: WRITE,
  publishSnapshot: WRITE,
  forkSandbox: WRITE,
}

const checkpoints: Decisions<typeof CheckpointService> = {
  listCheckpoints: READ,
  rollback: WRITE,
  discardChanges: WRITE,
}

/** A server inside does what it is asked. */
const ports: Decisions<typeof PortService> = { exposePort: WRITE, connectPort: WRITE }

const diffs: Decisions<typeof DiffService> = { listDifferences: READ, getPatch: READ }

const exports: Decisions<typeof ExportService> = { export: READ, import: WRITE }

/** Written with the rights of the server, to places of its operator. */
const jobs: Decisions<typeof ExportJobService> = {
  startExport: ADMIN,
  getExportJob: ADMIN,
  listExportJobs: ADMIN_LIST,
  watchExportJob: ADMIN,
  cancelExportJob: ADMIN,
  retryExportJob: ADMIN,
  deleteExportJob: ADMIN,
  setExportSchedule: ADMIN,
  listExportSchedules: ADMIN_LIST,
  deleteExportSchedule: ADMIN,
}

const trails: Decisions<typeof TrailService> = { getAccessTrail: READ, suggestPolicy: READ, getNetworkTrail: READ }

const server: Decisions<typeof ServerService> = { getServerInfo: READ }

const access: Decisions<typeof AccessService> = {
  getCaller: READ,
  createToken: ADMIN,
  listTokens: ADMIN_LIST,
  revokeToken: ADMIN,
  rotateToken: ADMIN,
}

/** Probes have no token. A stream that lasts is nothing for strangers. */
const health: Decisions<typeof Health> = { check: { needs: 'nothing' }, watch: READ }

const reflection: Decisions<typeof ServerReflection> = { serverReflectionInfo: READ }

const DECISIONS: Readonly<Record<string, Readonly<Record<string, Decision>>>> = {
  CodebaseService: codebases,
  SandboxService: sandboxes,
  CommandService: commands,
  FileService: files,
  SnapshotService: snapshots,
  CheckpointService: checkpoints,
  PortService: ports,
  DiffService: diffs,
  ExportService: exports,
  ExportJobService: jobs,
  TrailService: trails,
  ServerService: server,
  AccessService: access,
  Health: health,
  ServerReflection: reflection,
}

/** Throws for a method that nobody has decided about: a server that serves it does not start. */
export function decisionOf(method: DescMethod): Decision {
  const decision = DECISIONS[method.parent.name]?.[method.localName]
  if (decision === undefined) throw new Error(`who may call ${method.parent.name}.${method.name} is not decided`)
  return decision
}
