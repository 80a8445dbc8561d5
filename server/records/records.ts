import { Level } from 'level'
import { ConfigError } from '../config/config-error.ts'
import type {
  CheckpointRecord,
  CodebaseRecord,
  ExportJobRecord,
  ExportScheduleRecord,
  NetworkTrailRecord,
  SandboxRecord,
  SessionRecord,
  SnapshotRecord,
  TokenRecord,
} from './record-types.ts'
import { Table } from './table.ts'

/** What the server must not forget, in one LevelDB, all of it in memory too. */
export class Records implements AsyncDisposable {
  readonly codebases: Table<CodebaseRecord>
  readonly sandboxes: Table<SandboxRecord>
  readonly sessions: Table<SessionRecord>
  readonly snapshots: Table<SnapshotRecord>
  readonly checkpoints: Table<CheckpointRecord>
  readonly networkTrails: Table<NetworkTrailRecord>
  readonly tokens: Table<TokenRecord>
  readonly exportJobs: Table<ExportJobRecord>
  readonly exportSchedules: Table<ExportScheduleRecord>
  readonly #db: Level<string, unknown>

  private constructor(db: Level<string, unknown>, tables: Omit<Records, typeof Symbol.asyncDispose>) {
    this.#db = db
    this.codebases = tables.codebases
    this.sandboxes = tables.sandboxes
    this.sessions = tables.sessions
    this.snapshots = tables.snapshots
    this.checkpoints = tables.checkpoints
    this.networkTrails = tables.networkTrails
    this.tokens = tables.tokens
    this.exportJobs = tables.exportJobs
    this.exportSchedules = tables.exportSchedules
  }

  /** Rejects with `RecordsLocked` while another process has them open: that lock guards the data directory. */
  static async open(dir: string): Promise<Records> {
    const db = new Level<string, unknown>(dir, { valueEncoding: 'json' })
    try {
      await db.open()
    } catch (error) {
      if (isLocked(error)) throw new RecordsLocked(dir, error)
      throw new ConfigError(`cannot open the records in ${dir}: ${causeOf(error)}`, { cause: error })
    }
    return new Records(db, {
      codebases: await Table.load<CodebaseRecord>(db, 'codebase'),
      sandboxes: await Table.load<SandboxRecord>(db, 'sandbox'),
      sessions: await Table.load<SessionRecord>(db, 'session'),
      snapshots: await Table.load<SnapshotRecord>(db, 'snapshot'),
      checkpoints: await Table.load<CheckpointRecord>(db, 'checkpoint'),
      networkTrails: await Table.load<NetworkTrailRecord>(db, 'network-trail'),
      tokens: await Table.load<TokenRecord>(db, 'token'),
      exportJobs: await Table.load<ExportJobRecord>(db, 'export-job'),
      exportSchedules: await Table.load<ExportScheduleRecord>(db, 'export-schedule'),
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#db.close()
  }
}

export class RecordsLocked extends Error {
  constructor(dir: string, cause: unknown) {
    super(`the records in ${dir} are in use by another process`, { cause })
    this.name = 'RecordsLocked'
  }
}

function isLocked(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error && 'code' in cause && cause.code === 'LEVEL_LOCKED'
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  return cause instanceof Error ? cause.message : String(cause)
}
