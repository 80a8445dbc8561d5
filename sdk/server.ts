import type { Writable } from 'node:stream'
import { CodebaseService, RuntimeType, SandboxService, ServerService } from '../proto/index.ts'
import type { Connection } from './client/connection.ts'
import type { ServerOptions } from './connect/address.ts'
import { connect } from './connect/connect.ts'
import { type ArchiveOptions, archive } from './export.ts'
import { ExportJobs } from './export-jobs.ts'
import { type ExportResult, exportTo } from './export-snapshot.ts'
import { type ImportOptions, type ImportResult, importArchive } from './import.ts'
import { type Rule, ruleFromWire } from './rules.ts'
import { type RuntimeName, runtimeFromWire } from './runtime-names.ts'
import { Snapshots } from './snapshots.ts'
import { Tokens } from './tokens.ts'
import { type AccessTrail, type PolicySuggestion, suggestPolicy } from './trail.ts'
import { type UploadOptions, type UploadResult, uploadFolder } from './upload/upload.ts'

export interface ServerInfo {
  readonly version: string
  /** Another one after each start. */
  readonly instance: string
  readonly pid: number
  readonly runtimes: readonly RuntimeInfo[]
  readonly filesystem: FilesystemInfo
  /** What cannot be had there, a line each: why, and what mends it. */
  readonly restrictions: readonly string[]
}

/** How the server mounts what sandboxes see. */
export interface FilesystemInfo {
  /** Empty where the server is too old to say. */
  readonly device: string
  /** Where it is not, no sandbox can be started. */
  readonly available: boolean
  /** Why this one, and where it was not the first choice, or none works, why not that. */
  readonly reason: string
  readonly capabilities: readonly string[]
}

export interface RuntimeInfo {
  readonly name: RuntimeName
  readonly available: boolean
  /** Why it is not available, and what mends that; empty where it is. */
  readonly reason: string
  readonly capabilities: readonly string[]
  /** Empty where it is not available. */
  readonly version: string
  /** A line for a shell on the server's host that mends it; empty where none is known. */
  readonly remedy: string
}

export interface Preset {
  readonly name: string
  readonly description: string
  readonly rules: readonly Rule[]
}

/** What to pass as `server`: where it is, in short its URL, or a connection to share between sandboxes. */
export type ServerChoice = Server | ServerOptions | string

/**
 * A connection to a Croft server. Only needed to share one between many sandboxes, and for what belongs to no
 * sandbox; `Sandbox` makes its own otherwise. An open one does not keep the process alive.
 */
export class Server implements AsyncDisposable {
  readonly #connection: Connection
  /** Of all sandboxes, those that are gone among them. */
  readonly snapshots: Snapshots
  /** The exports that it makes by itself. */
  readonly jobs: ExportJobs
  /** Who may call it. For admins. */
  readonly tokens: Tokens

  private constructor(connection: Connection) {
    this.#connection = connection
    this.snapshots = new Snapshots(connection)
    this.jobs = new ExportJobs(connection)
    this.tokens = new Tokens(connection)
  }

  /**
   * Without options: CROFT_SERVER, or this user's own server, which is started where it does not run.
   * Rejects with `ServerUnreachableError`, `ServerStartError` or `InvalidArgumentError`.
   */
  static async connect(options: ServerOptions | string = {}, signal?: AbortSignal): Promise<Server> {
    return new Server(await connect(typeof options === 'string' ? { url: options } : options, signal))
  }

  /** `unix:///path` or `host:port`. */
  get address(): string {
    return this.#connection.address
  }

  /** @internal */
  get connection(): Connection {
    return this.#connection
  }

  async info(): Promise<ServerInfo> {
    const info = await this.#connection.unary(ServerService.method.getServerInfo, {})
    return {
      version: info.version,
      instance: info.instance,
      pid: info.pid,
      filesystem: {
        device: info.filesystem?.device ?? '',
        available: info.filesystem?.available ?? false,
        reason: info.filesystem?.reason ?? '',
        capabilities: info.filesystem?.capabilities ?? [],
      },
      runtimes: info.runtimes
        .filter((runtime) => runtime.type !== RuntimeType.UNSPECIFIED)
        .map((runtime) => ({
          name: runtimeFromWire(runtime.type),
          available: runtime.available,
          reason: runtime.reason,
          capabilities: runtime.capabilities,
          version: runtime.version,
          remedy: runtime.remedy,
        })),
      restrictions: info.restrictions,
    }
  }

  async presets(): Promise<Preset[]> {
    const { presets } = await this.#connection.unary(SandboxService.method.listPresets, {})
    return presets.map(({ name, description, permissions }) => ({
      name,
      description,
      rules: permissions.map(ruleFromWire),
    }))
  }

  /** Puts a folder on the server as a codebase, for `Sandbox.create`. See `UploadOptions` for what is left out. */
  async uploadFolder(folder: string, options: UploadOptions = {}): Promise<UploadResult> {
    return await uploadFolder(this.#connection, folder, options)
  }

  /** @internal By its id alone. */
  exportSandbox(
    sandboxId: string,
    options: ArchiveOptions & { readonly to: string | Writable },
  ): Promise<ExportResult> {
    return exportTo(archive(this.#connection, { case: 'sandboxId', value: sandboxId }, options), options.to)
  }

  /** All files of a codebase, as `sandbox.export` has them. */
  exportCodebase(
    codebaseId: string,
    options: Omit<ArchiveOptions, 'as'> & { readonly to: string | Writable },
  ): Promise<ExportResult>
  exportCodebase(
    codebaseId: string,
    options?: Omit<ArchiveOptions, 'as'> & { readonly to?: undefined },
  ): AsyncIterable<Uint8Array>
  exportCodebase(
    codebaseId: string,
    options: Omit<ArchiveOptions, 'as'> & { readonly to?: string | Writable | undefined } = {},
  ): Promise<ExportResult> | AsyncIterable<Uint8Array> {
    const pieces = archive(this.#connection, { case: 'codebaseId', value: codebaseId }, options)
    return options.to === undefined ? pieces : exportTo(pieces, options.to)
  }

  /**
   * Makes a codebase, or a new version of one, of an archive: a path, or a stream. All or nothing; what was exported comes
   * back as it was, hash for hash.
   */
  async importArchive(from: string | AsyncIterable<Uint8Array>, options: ImportOptions = {}): Promise<ImportResult> {
    return await importArchive(this.#connection, from, options)
  }

  /** Rejects with a `FailedPreconditionError` while a sandbox uses it, with a `NotFoundError` if it is gone. */
  async deleteCodebase(codebaseId: string): Promise<void> {
    await this.#connection.unary(CodebaseService.method.deleteCodebase, { codebaseId })
  }

  /** The smallest rules that allow what is on a trail, for a codebase: the one it is of, or a later version. */
  async suggestPolicy(
    codebaseId: string,
    trail: AccessTrail,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<PolicySuggestion> {
    return await suggestPolicy(this.#connection, { codebaseId }, trail, options)
  }

  /** Closes the connection; the server goes on. */
  close(): void {
    this.#connection.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }
}

/** The connection to use, and whether whoever asked is to close it. */
export async function openServer(
  choice: ServerChoice | undefined,
  signal: AbortSignal | undefined,
): Promise<{ connection: Connection; owned: boolean }> {
  if (choice instanceof Server) return { connection: choice.connection, owned: false }
  const { connection } = await Server.connect(choice, signal)
  return { connection, owned: true }
}
