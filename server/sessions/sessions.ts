import type { CreateSessionRequest } from '../../proto/index.ts'
import type { Shell } from '../../runtimes/agent/shell.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid, notFound, printable } from '../errors/croft-error.ts'
import { environment } from '../exec/environment.ts'
import type { Logger } from '../observability/log.ts'
import { checkId, newId } from '../records/ids.ts'
import type { SessionRecord } from '../records/record-types.ts'
import type { Records } from '../records/records.ts'
import type { Running } from '../sandboxes/running.ts'
import type { Sandboxes } from '../sandboxes/sandboxes.ts'
import { startShell } from './start-shell.ts'

export interface SessionsDependencies {
  readonly records: Records
  readonly sandboxes: Sandboxes
  readonly nowMs: () => number
  readonly log: Logger
}

interface OpenSession {
  readonly shell: Shell
  readonly running: Running
}

/** Shells that are kept. One that is closed stays listed for the life of its sandbox. */
export class Sessions {
  readonly #limits: Limits
  readonly #parts: SessionsDependencies
  readonly #open = new Map<string, OpenSession>()

  constructor(options: { limits: Limits }, dependencies: SessionsDependencies) {
    this.#limits = options.limits
    this.#parts = dependencies
  }

  async create({ sandboxId, shell: wanted, env }: CreateSessionRequest): Promise<SessionRecord> {
    if (wanted !== '' && !isProgramPath(wanted))
      throw invalid('shell', 'must be an absolute path of at most 4095 bytes')
    const variables = environment(env, { field: 'env', limits: this.#limits })
    const { records, sandboxes, nowMs } = this.#parts
    const running = sandboxes.running(sandboxId)
    this.#checkRoom(running)

    const { shell, path } = await startShell(running, wanted, variables, this.#limits)
    const id = newId('sess')
    this.#open.set(id, { shell, running })
    // Whatever ends it, a killed shell or the end of the sandbox: its record says so before that end is answered.
    const close = async () => {
      running.atEnd.delete(close)
      await this.closed(id)
    }
    running.atEnd.add(close)
    shell.closed
      .then(close)
      .catch((err: unknown) => this.#parts.log.error({ err, session: id }, 'cannot close a session'))
    const sequence = records.sessions.nextSequence()
    return records.sessions.put({ id, sequence, sandboxId, shell: path, status: 'active', createdAtMs: nowMs() })
  }

  /** Throws NOT_FOUND, or INVALID_ARGUMENT naming `session_id`. */
  get(id: string): SessionRecord {
    const record = this.#parts.records.sessions.get(checkId('sess', id, 'session_id'))
    if (record === undefined) throw notFound('session', id)
    return record
  }

  list(sandboxId: string): SessionRecord[] {
    const { id } = this.#parts.sandboxes.get(sandboxId)
    return [...this.#parts.records.sessions.values()].filter((session) => session.sandboxId === id)
  }

  /** One that is open, or FAILED_PRECONDITION. */
  open(id: string): OpenSession {
    const open = this.#open.get(id)
    if (open !== undefined) return open
    throw closedError(this.get(id))
  }

  /** With everything that runs in it. Of a closed one: FAILED_PRECONDITION. */
  async destroy(id: string): Promise<void> {
    const { shell } = this.open(id)
    await shell.close()
    await this.closed(id)
  }

  /** Its shell has ended. On record when it resolves. */
  async closed(id: string): Promise<void> {
    this.#open.delete(id)
    const { records, nowMs } = this.#parts
    const record = records.sessions.get(id)
    if (record?.status === 'active') await records.sessions.put({ ...record, status: 'closed', closedAtMs: nowMs() })
  }

  #checkRoom({ sandboxId, limits }: Running): void {
    const { maxSessionRecordsPerSandbox } = this.#limits
    const maxSessionsPerSandbox = limits.sessions ?? this.#limits.maxSessionsPerSandbox
    const all = this.list(sandboxId)
    const active = all.filter(({ status }) => status === 'active').length
    const limit = active >= maxSessionsPerSandbox ? maxSessionsPerSandbox : maxSessionRecordsPerSandbox
    if (active < maxSessionsPerSandbox && all.length < maxSessionRecordsPerSandbox) return
    throw new CroftError('RESOURCE_EXHAUSTED', `sandbox ${sandboxId} has had ${limit} sessions, which is the limit`)
  }
}

function closedError({ id }: SessionRecord): CroftError {
  return new CroftError('FAILED_PRECONDITION', `session ${printable(id)} is closed`, { reason: 'session_closed' })
}

function isProgramPath(path: string): boolean {
  return path.startsWith('/') && !path.includes('\0') && Buffer.byteLength(path) <= 4095
}
