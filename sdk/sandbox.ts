import type { Writable } from 'node:stream'
import { CodebaseService, SandboxService, SnapshotService, type Sandbox as WireSandbox } from '../proto/index.ts'
import type { ApplyOptions, ApplyResult } from './apply/apply.ts'
import { applySandbox } from './apply/apply-sandbox.ts'
import type { AsOption } from './as.ts'
import { type Change, listChanges } from './changes.ts'
import { type Checkpoint, discardChanges, listCheckpoints, type RollbackResult, rollBack } from './checkpoints.ts'
import type { Connection } from './client/connection.ts'
import { SharedConnection } from './client/shared-connection.ts'
import type { CommandResult } from './command-output.ts'
import { type Command, Commands, type RunOptions } from './commands.ts'
import { type DiffOptions, listDifferences, patchStream } from './diff.ts'
import { FailedPreconditionError } from './errors.ts'
import { type ArchiveOptions, archive } from './export.ts'
import { type ExportOptions, type ExportResult, exportStream, exportTo } from './export-snapshot.ts'
import { type ExposedPort, type ExposeOptions, expose } from './expose.ts'
import { Files } from './files.ts'
import { watchStart } from './images.ts'
import { createSandbox, destroySandbox, unlessGone } from './make-sandbox.ts'
import { type NetworkUse, readNetworkTrail } from './network-trail.ts'
import { Pty, type PtyOptions } from './pty.ts'
import { type Rules, rulesToWire } from './rules.ts'
import { infoFromWire, type SandboxInfo } from './sandbox-info.ts'
import { createRequest, presetToWire, type SandboxOptions } from './sandbox-spec.ts'
import { openServer, type ServerChoice } from './server.ts'
import { Session, type SessionOptions } from './session.ts'
import { createSnapshot, type Snapshot, type SnapshotOptions } from './snapshots.ts'
import { getStats, type SandboxStats, type WatchStatsOptions, watchStats } from './stats.ts'
import { type AccessTrail, type PolicySuggestion, readTrail, suggestPolicy } from './trail.ts'
import { type UploadOptions, type UploadProgress, type UploadResult, uploadFolder } from './upload/upload.ts'

export interface FromLocalOptions extends SandboxOptions, Pick<UploadOptions, 'ignore' | 'include' | 'onSkip'> {
  readonly onProgress?: (progress: UploadProgress) => void
}

/** What to begin with: a codebase that the server has, or a snapshot, by its id. */
export type CreateOptions = SandboxOptions &
  (
    | { readonly codebase: string; readonly snapshot?: undefined }
    | { readonly snapshot: string; readonly codebase?: undefined }
  )

export interface ForkOptions {
  /** Beside those of the sandbox, or in their place. */
  readonly labels?: Readonly<Record<string, string>>
  /** Start them too. Default true. */
  readonly start?: boolean
}

export interface ServerOption {
  /** Default: CROFT_SERVER, or this user's own server, which is started where it does not run. */
  readonly server?: ServerChoice
  readonly signal?: AbortSignal
}

/**
 * Set on sandboxes whose codebase was uploaded for them alone: it goes with them. A label, so that another
 * process that kills the sandbox knows it too.
 */
const OWNS_CODEBASE_LABEL = 'croft.owns-codebase'

/**
 * One sandbox: its commands, its files and what it changed. Every failure is a `CroftError`.
 *
 * ```ts
 * await using sandbox = await Sandbox.fromLocal('./project', { permissions: { '/build/**': 'write' } })
 * const { stdout } = await sandbox.run('npm test')
 * ```
 */
export class Sandbox implements AsyncDisposable {
  readonly id: string
  readonly codebaseId: string
  readonly commands: Commands
  readonly files: Files
  /** Of the upload, for a sandbox made by `fromLocal`. */
  readonly upload: UploadResult | undefined
  readonly #connection: Connection
  readonly #shared: SharedConnection
  #isClosed = false
  readonly #onDispose: 'kill' | 'close'
  #labels: Readonly<Record<string, string>>

  private constructor(
    made: { sandbox: WireSandbox; upload?: UploadResult; onDispose: 'kill' | 'close' },
    server: SharedConnection,
  ) {
    this.id = made.sandbox.id
    this.codebaseId = made.sandbox.codebaseId
    this.upload = made.upload
    this.#labels = made.sandbox.labels
    this.#onDispose = made.onDispose
    this.#connection = server.connection
    this.#shared = server
    this.commands = new Commands(server.connection, this.id)
    this.files = new Files(server.connection, this.id)
  }

  /**
   * Uploads a folder and makes a sandbox that sees it, behind the rules. The folder itself is never written
   * to. What git ignores is left out, unless `include` or `ignore` say otherwise. The uploaded codebase goes
   * with the sandbox; `await using` destroys both.
   */
  static async fromLocal(folder: string, options: FromLocalOptions = {}): Promise<Sandbox> {
    const labels = { ...options.labels, [OWNS_CODEBASE_LABEL]: 'true' }
    // Built once before anything is done, so that a bad option costs no upload.
    createRequest({ codebaseId: '' }, { ...options, labels })
    return await withServer(options, async (server) => {
      const upload = await uploadFolder(server.connection, folder, options)
      try {
        const sandbox = await createSandbox(
          server.connection,
          { codebaseId: upload.codebaseId },
          { ...options, labels },
        )
        return new Sandbox({ sandbox, upload, onDispose: 'kill' }, server)
      } catch (error) {
        await deleteCodebase(server.connection, upload.codebaseId)
        throw error
      }
    })
  }

  /** A sandbox on a codebase, or on a snapshot, that the server has. `await using` destroys it; that stays. */
  static async create(options: CreateOptions): Promise<Sandbox> {
    const source = options.snapshot === undefined ? { codebaseId: options.codebase } : { snapshotId: options.snapshot }
    createRequest(source, options)
    return await withServer(options, async (server) => {
      const sandbox = await createSandbox(server.connection, source, options)
      return new Sandbox({ sandbox, onDispose: 'kill' }, server)
    })
  }

  /** One that exists. `await using` lets go of it and leaves it as it is. Rejects with `NotFoundError`. */
  static async connect(id: string, options: ServerOption = {}): Promise<Sandbox> {
    return await withServer(options, async (server) => {
      const request = { sandboxId: id }
      const sandbox = await server.connection.unary(SandboxService.method.getSandbox, request, options)
      return new Sandbox({ sandbox, onDispose: 'close' }, server)
    })
  }

  /** All of them, or those of one codebase. */
  static async list(options: ServerOption & { readonly codebaseId?: string } = {}): Promise<SandboxInfo[]> {
    const { connection, owned } = await openServer(options.server, options.signal)
    try {
      const found: SandboxInfo[] = []
      let pageToken = ''
      do {
        const request = { codebaseId: options.codebaseId ?? '', pageToken }
        const page = await connection.unary(SandboxService.method.listSandboxes, request, options)
        found.push(...page.sandboxes.map(infoFromWire))
        pageToken = page.nextPageToken
      } while (pageToken !== '')
      return found
    } finally {
      if (owned) connection.close()
    }
  }

  async info(): Promise<SandboxInfo> {
    return infoFromWire(await this.#connection.unary(SandboxService.method.getSandbox, { sandboxId: this.id }))
  }

  /** `sb.commands.run`, for who only wants the result. */
  async run(command: Command, options: RunOptions = {}): Promise<CommandResult> {
    return await this.commands.run(command, options)
  }

  /** A shell that keeps its state from one command to the next. */
  async session(options: SessionOptions = {}): Promise<Session> {
    return await Session.create(this.#connection, this.id, options)
  }

  /** A command with a terminal; without `command` a login shell. */
  pty(options: PtyOptions = {}): Pty {
    return new Pty(this.#connection, this.id, options)
  }

  /**
   * Every difference between the view and its base, or between two sides; what the rules hide too, unless they are asked
   * for `as` the sandbox. With a side given, what moved is told by what it contains, else by what was done.
   */
  async changes(options: DiffOptions = {}): Promise<Change[]> {
    const { from, to, as = 'owner' } = options
    const isWhole = from === undefined && to === undefined && as === 'owner'
    if (isWhole) return await listChanges(this.#connection, this.id, options)
    return await listDifferences(this.#connection, this.id, { ...options, as })
  }

  /**
   * The same as a patch for `git apply`, and for patch(1) where all of it is text. Not of directories, modes but for
   * whether a file is a program, and `.git`. Bytes, for files may have any encoding.
   */
  async diff(options: DiffOptions = {}): Promise<Buffer> {
    const pieces: Uint8Array[] = []
    for await (const piece of this.diffStream(options)) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  /** The patch in pieces, for one that may be large. */
  diffStream(options: DiffOptions = {}): AsyncIterable<Uint8Array> {
    return patchStream(this.#connection, this.id, options)
  }

  /** What the programs in it did with which paths, in all of its runs, and what was refused. */
  async trail(options: { readonly signal?: AbortSignal } = {}): Promise<AccessTrail> {
    const { codebaseId, permissions } = await this.info()
    const entries = await readTrail(this.#connection, this.id, options)
    return { sandboxId: this.id, codebaseId, permissions, entries }
  }

  /**
   * A URL on this machine that leads to a server inside, until it is closed or the sandbox ends. That nobody listens
   * there yet is no error. Only this user and root can connect, where the system can tell.
   */
  async expose(port: number, options: ExposeOptions = {}): Promise<ExposedPort> {
    return await expose(this.#connection, this.id, port, options)
  }

  /** Which hosts its programs asked for through the proxy, in all of its runs, and what came of it. */
  async networkTrail(options: { readonly signal?: AbortSignal } = {}): Promise<NetworkUse[]> {
    return await readNetworkTrail(this.#connection, this.id, options)
  }

  /** The smallest rules under which its runs would have gone as they did. With `trail`, that one instead of its own. */
  async suggestPolicy(
    options: { readonly trail?: AccessTrail; readonly signal?: AbortSignal } = {},
  ): Promise<PolicySuggestion> {
    return await suggestPolicy(this.#connection, { sandboxId: this.id }, options.trail, options)
  }

  /**
   * A tar of the view, or of what changed. With `to`, a path or a stream, it is written there: a file appears
   * under its name only when it is whole.
   */
  exportSnapshot(options: ExportOptions & { readonly to: string | Writable }): Promise<ExportResult>
  exportSnapshot(options?: ExportOptions & { readonly to?: undefined }): AsyncIterable<Uint8Array>
  exportSnapshot(
    options: ExportOptions & { readonly to?: string | Writable | undefined } = {},
  ): Promise<ExportResult> | AsyncIterable<Uint8Array> {
    const tar = exportStream(this.#connection, this.id, options)
    return options.to === undefined ? tar : exportTo(tar, options.to)
  }

  /**
   * All files, or what changed, as one moment has them: a tar, a zip, an image, a bundle for git. The same files give the
   * same bytes. What the rules hide is in it only with `as: 'owner'`. With `to`, a path or a stream, it is written there:
   * a file appears under its name only when it is whole.
   */
  export(options: ArchiveOptions & { readonly to: string | Writable }): Promise<ExportResult>
  export(options?: ArchiveOptions & { readonly to?: undefined }): AsyncIterable<Uint8Array>
  export(
    options: ArchiveOptions & { readonly to?: string | Writable | undefined } = {},
  ): Promise<ExportResult> | AsyncIterable<Uint8Array> {
    const pieces = archive(this.#connection, { case: 'sandboxId', value: this.id }, options)
    return options.to === undefined ? pieces : exportTo(pieces, options.to)
  }

  /**
   * Replaces all rules, in force from the next call inside. A list of rules alone is added to nothing: what it
   * does not name is hidden.
   */
  async setPermissions(
    permissions: Rules | { readonly preset: string | null; readonly permissions?: Rules },
  ): Promise<SandboxInfo> {
    const withPreset = isWithPreset(permissions)
    const request = {
      sandboxId: this.id,
      preset: withPreset ? presetToWire(permissions.preset) : '',
      permissions: rulesToWire(withPreset ? permissions.permissions : permissions),
    }
    return infoFromWire(await this.#connection.unary(SandboxService.method.setPermissions, request))
  }

  /**
   * Keeps the whole view as it is at this moment, what the rules hide too; commands go on meanwhile. `server.snapshots`
   * lists and deletes them, `Sandbox.create({ snapshot })` begins with one.
   */
  async snapshot(options: SnapshotOptions = {}): Promise<Snapshot> {
    return await createSnapshot(this.#connection, this.id, options)
  }

  /**
   * What it sees is what the snapshot has, and what it changed since is gone. Rejects with a `FailedPreconditionError`
   * while it runs.
   */
  async restore(snapshotId: string): Promise<SandboxInfo> {
    const request = { sandboxId: this.id, snapshotId }
    return infoFromWire(await this.#connection.unary(SnapshotService.method.restoreSnapshot, request))
  }

  /** What it was before its last commands, with `checkpoint: 'each-command'`, and before it was rolled back. The oldest first. */
  async checkpoints(): Promise<Checkpoint[]> {
    return await listCheckpoints(this.#connection, this.id)
  }

  /**
   * Makes it what it was at a checkpoint, or is in a snapshot, while it runs; what the rules hide stays as it is. A file that
   * a program has open stays what it is for that program. The result names the way back.
   */
  async rollback(id: string): Promise<RollbackResult> {
    return await rollBack(this.#connection, this.id, id)
  }

  /** The same, back to what it is based on: all of it, or only what is at these paths and below. */
  async discard(paths: readonly string[] = []): Promise<RollbackResult> {
    return await discardChanges(this.#connection, this.id, paths)
  }

  /**
   * So many sandboxes that see what this one does now, with its rules and limits. What happens in one is seen in no
   * other. All are made, or none.
   */
  async fork(count = 1, { labels = {}, start = true }: ForkOptions = {}): Promise<Sandbox[]> {
    const request = { sandboxId: this.id, count, labels: { ...labels }, start }
    const call = { deadlineMs: null }
    const { sandboxes } = await this.#connection.unary(SnapshotService.method.forkSandbox, request, call)
    return sandboxes.map((sandbox) => new Sandbox({ sandbox, onDispose: 'kill' }, this.#shared.share()))
  }

  /**
   * Makes in a local folder what the sandbox changed since the upload: each file whole or not at all, and never by way of
   * a link. What the rules hide stays as it is. Rejects with an `ApplyConflictError`, before anything is done, where the
   * folder has changed too, unless `onConflict` says otherwise; `dryRun` only tells.
   */
  async apply(folder: string, options: ApplyOptions & AsOption = {}): Promise<ApplyResult> {
    return await applySandbox(this.#connection, await this.info(), folder, options)
  }

  /**
   * Makes what the sandbox is now the version of its codebase, what the rules hide too. Rejects with a
   * `FailedPreconditionError` where the codebase has another version than the sandbox began with (its own of before, too),
   * unless `force` is set.
   */
  async publish({ force = false }: { readonly force?: boolean } = {}): Promise<void> {
    const snapshot = await this.snapshot({ labels: { 'croft.for': 'publish' } })
    try {
      const ifRootHash = force ? new Uint8Array() : Buffer.from(snapshot.originRootHash, 'hex')
      const request = { snapshotId: snapshot.id, codebaseId: this.codebaseId, ifRootHash }
      await this.#connection.unary(SnapshotService.method.publishSnapshot, request)
    } finally {
      await this.#connection.unary(SnapshotService.method.deleteSnapshot, { snapshotId: snapshot.id })
    }
  }

  /** What it takes of its quota now: what it has added or changed, in bytes and inodes. */
  async usage(): Promise<{ diskBytes: number; inodes: number }> {
    const usage = await this.#connection.unary(SandboxService.method.getUsage, { sandboxId: this.id })
    return { diskBytes: Number(usage.diskBytes), inodes: Number(usage.inodes) }
  }

  /** What it uses now: memory, CPU time, processes, disk. Rejects with `NotRunningError` where it does not run. */
  async stats(options: { readonly signal?: AbortSignal } = {}): Promise<SandboxStats> {
    return await getStats(this.#connection, this.id, options)
  }

  /** The same again and again, until it is left or the sandbox ends: then it rejects with `NotRunningError`. */
  watchStats(options: WatchStatsOptions = {}): AsyncGenerator<SandboxStats, void, undefined> {
    return watchStats(this.#connection, this.id, options)
  }

  /** Ends its processes; the files stay. Rejects with `FailedPreconditionError` where it does not run. */
  async stop(): Promise<SandboxInfo> {
    return infoFromWire(await this.#connection.unary(SandboxService.method.stopSandbox, { sandboxId: this.id }))
  }

  /** Rejects with `FailedPreconditionError` where it runs already. `onImage` is told while its image is fetched. */
  async start(options: Pick<SandboxOptions, 'onImage' | 'signal'> = {}): Promise<SandboxInfo> {
    return infoFromWire(await watchStart(this.#connection, this.id, options))
  }

  /** Destroys it with all that it changed. One that is gone already is no error. */
  async kill(): Promise<void> {
    try {
      await destroySandbox(this.#connection, this.id)
      if (this.#labels[OWNS_CODEBASE_LABEL] === 'true') await deleteUnused(this.#connection, this.codebaseId)
    } finally {
      this.close()
    }
  }

  /** Lets go of the connection; the sandbox stays as it is. */
  close(): void {
    if (!this.#isClosed) this.#shared.release()
    this.#isClosed = true
  }

  /** `kill` for one that was made here, `close` for one that was connected to. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#onDispose === 'kill') await this.kill()
    else this.close()
  }
}

async function withServer<T>(
  options: { readonly server?: ServerChoice; readonly signal?: AbortSignal },
  work: (server: SharedConnection) => Promise<T>,
): Promise<T> {
  const server = new SharedConnection(await openServer(options.server, options.signal))
  try {
    return await work(server)
  } catch (error) {
    server.release()
    throw error
  }
}

async function deleteCodebase(connection: Connection, codebaseId: string): Promise<void> {
  await unlessGone(connection.unary(CodebaseService.method.deleteCodebase, { codebaseId }))
}

/** Somebody may have made another sandbox on it since: then it stays, and goes by `deleteCodebase`. */
async function deleteUnused(connection: Connection, codebaseId: string): Promise<void> {
  try {
    await deleteCodebase(connection, codebaseId)
  } catch (error) {
    if (!(error instanceof FailedPreconditionError)) throw error
  }
}

/** Apart from the short form of rules, whose values are levels: `{ preset: 'write' }` would be a rule for /preset. */
function isWithPreset(
  permissions: Rules | { readonly preset: string | null; readonly permissions?: Rules },
): permissions is { readonly preset: string | null; readonly permissions?: Rules } {
  if (Array.isArray(permissions) || !Object.hasOwn(permissions, 'preset')) return false
  const { preset } = permissions as { preset: unknown }
  return !(typeof preset === 'string' && ['none', 'view', 'read', 'write'].includes(preset))
}
