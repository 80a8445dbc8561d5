/** The SDK of Croft: everything that a program needs, and nothing that happens on import. */
export { ApplyConflictError, type ApplyOptions, type ApplyResult } from './apply/apply.ts'
export type { ApplyConflict } from './apply/plan.ts'
export type { As, AsOption } from './as.ts'
export type {
  BackgroundCommand,
  BackgroundOutput,
  BackgroundOutputOptions,
  CommandExit,
  CommandInfo,
} from './background-command.ts'
export type { Change } from './changes.ts'
export type { Checkpoint, CheckpointId, RollbackResult } from './checkpoints.ts'
export type { CommandResult, OutputEvent } from './command-output.ts'
export type { Command, Commands, RunOptions, StartOptions } from './commands.ts'
export type { ServerOptions, TlsOptions } from './connect/address.ts'
export type { DiffOptions, DiffSide } from './diff.ts'
export type { EntryKind } from './entry-kind.ts'
export * from './errors.ts'
export {
  type ArchiveOptions,
  EXPORT_FORMATS,
  type ExportFormat,
  type ExportProgress,
  type ImageOptions,
} from './export.ts'
export {
  EXPORT_JOB_STATUSES,
  type ExportJob,
  type ExportJobStatus,
  type ExportJobs,
  type ExportSchedule,
  type ScheduleOptions,
  type ServerFile,
  type StartJobOptions,
} from './export-jobs.ts'
export type { ExportOptions, ExportResult } from './export-snapshot.ts'
export type { ExposedPort, ExposeOptions } from './expose.ts'
export type { Entry, Files, ReadOptions, WriteOptions } from './files.ts'
export type { ImageProgress, ImagePull } from './images.ts'
export type { ImportOptions, ImportResult } from './import.ts'
export type { NetworkOutcome, NetworkUse } from './network-trail.ts'
export type { Pty, PtyExit, PtyOptions } from './pty.ts'
export type { Resources } from './resources.ts'
export type { Level, Rule, Rules } from './rules.ts'
export { DEFAULT_PRESET } from './rules.ts'
export type { OutputCallback, RunningCommand, WatchOptions } from './running-command.ts'
export { RUNTIME_NAMES, type RuntimeChoice, type RuntimeName } from './runtime-names.ts'
export { type CreateOptions, type ForkOptions, type FromLocalOptions, Sandbox, type ServerOption } from './sandbox.ts'
export type { SandboxInfo } from './sandbox-info.ts'
export type { Network, SandboxOptions } from './sandbox-spec.ts'
export { SECCOMP_PROFILES, type SeccompProfile } from './seccomp-profiles.ts'
export { type Preset, type RuntimeInfo, Server, type ServerChoice, type ServerInfo } from './server.ts'
export type { Session, SessionOptions, SessionRunOptions } from './session.ts'
export type { PublishTarget, Snapshot, SnapshotFilter, SnapshotId, SnapshotOptions, Snapshots } from './snapshots.ts'
export type { SandboxStats, WatchStatsOptions } from './stats.ts'
export { type IssuedToken, TOKEN_ROLES, type Token, type TokenOptions, type TokenRole, type Tokens } from './tokens.ts'
export type { AccessTrail, PolicyExcess, PolicyLoss, PolicySuggestion, TrailEntry } from './trail.ts'
export { DEFAULT_IGNORE } from './upload/default-ignore.ts'
export type { UploadOptions, UploadProgress, UploadResult } from './upload/upload.ts'
export type { SkippedKind } from './upload/walk.ts'
export type { ReadPath, ViewPath } from './view-path.ts'
export type { FileChange, FileEvent, FileReset, WatchFilesOptions } from './watch-files.ts'
