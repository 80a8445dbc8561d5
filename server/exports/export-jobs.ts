import type { Store } from '../../fs-layer/store/store.ts'
import { Wakeups } from '../concurrency/wakeups.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, notFound } from '../errors/croft-error.ts'
import { toCroftError } from '../errors/to-croft-error.ts'
import type { Logger } from '../observability/log.ts'
import { checkId, newId } from '../records/ids.ts'
import type { Page } from '../records/page.ts'
import type { ExportJobRecord } from '../records/record-types.ts'
import type { Records } from '../records/records.ts'
import { archiveOf, EXTENSIONS } from './archive-of.ts'
import { type DestinationRecord, placeOf } from './destination.ts'
import type { ParsedExport } from './export-spec.ts'
import type { Versions } from './versions.ts'
import { writeBelow } from './write-below.ts'

export interface ExportJobsDependencies {
  readonly store: Store
  readonly records: Records
  readonly versions: Versions
  readonly nowMs: () => number
  readonly log: Logger
}

export interface NewJob {
  readonly parsed: ParsedExport
  readonly request: Pick<ExportJobRecord['request'], 'image' | 'commitMessage'>
  readonly destination: DestinationRecord
  readonly schedule?: string
}

/** How far a job is that runs. */
export interface JobProgress {
  contentsRead: number
  size: number
}

/**
 * Archives that the server writes by itself, so many at one time, the others in turn. A job has the version that it is of
 * from its start to its end, so it needs neither the sandbox nor its files any more: how fast it is written is nobody's
 * concern. One that is cut off by the end of the server is begun again by the next one.
 */
export class ExportJobs implements AsyncDisposable {
  readonly #limits: Limits
  readonly #parts: ExportJobsDependencies
  readonly #running = new Map<string, Running>()
  readonly #changed = new Wakeups()
  #closing = false

  constructor(options: { limits: Limits }, dependencies: ExportJobsDependencies) {
    this.#limits = options.limits
    this.#parts = dependencies
  }

  get runningCount(): number {
    return this.#running.size
  }

  /** Goes on with what an earlier server had not ended. */
  async resume(): Promise<void> {
    const { exportJobs } = this.#parts.records
    const cut = [...exportJobs.values()].filter(({ status }) => status === 'running')
    await exportJobs.putAll(cut.map((job): ExportJobRecord => ({ ...job, status: 'queued' })))
    this.#fill()
  }

  async start({ parsed, request, destination, schedule }: NewJob, signal: AbortSignal): Promise<ExportJobRecord> {
    const { records, versions, nowMs } = this.#parts
    await this.#forgetOldest()
    const id = newId('job')
    const { format, since, rules, name } = parsed
    const held = await versions.hold(parsed.version, since, signal, id)
    try {
      const job: ExportJobRecord = {
        ...{ id, sequence: records.exportJobs.nextSequence(), createdAtMs: nowMs() },
        source: name,
        request: { ...request, format, since, version: held.hash, ...(rules === undefined ? {} : { rules }) },
        destination,
        status: 'queued',
        contentsBytes: held.root.bytes,
        attempts: 0,
        ...(schedule === undefined ? {} : { schedule }),
      }
      await records.exportJobs.put(job)
      this.#fill()
      return this.get(id)
    } catch (error) {
      await held[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Throws NOT_FOUND, or INVALID_ARGUMENT naming `job_id`. */
  get(id: string): ExportJobRecord {
    const job = this.#parts.records.exportJobs.get(checkId('job', id, 'job_id'))
    if (job === undefined) throw notFound('export job', id)
    return job
  }

  list(
    filter: { readonly status: ExportJobRecord['status'] | undefined; readonly source: string },
    pageSize: number,
    pageToken: string,
  ): Page<ExportJobRecord> {
    const { pageSizeDefault: defaultSize, pageSizeMax: maxSize } = this.#limits
    return this.#parts.records.exportJobs.page(
      { pageSize, pageToken, defaultSize, maxSize },
      ({ status, source }) =>
        (filter.status === undefined || filter.status === status) && (filter.source === '' || filter.source === source),
    )
  }

  progressOf(id: string): JobProgress | undefined {
    return this.#running.get(id)?.progress
  }

  /** Each time that something is further: when it is asked for again, and never faster. */
  async *watch(id: string, signal: AbortSignal): AsyncGenerator<ExportJobRecord> {
    for (;;) {
      const job = this.get(id)
      yield job
      if (isEnded(job)) return
      await this.#changed.next(signal)
    }
  }

  /** Resolves when nothing of it is left at the destination. */
  async cancel(id: string): Promise<ExportJobRecord> {
    const job = this.get(id)
    const running = this.#running.get(id)
    if (running !== undefined) {
      running.controller.abort(new Cancelled())
      await running.ended
      return this.get(id)
    }
    if (isEnded(job)) throw wrongStatus(job, 'has ended')
    return await this.#put({ ...job, status: 'cancelled', endedAtMs: this.#parts.nowMs() })
  }

  async retry(id: string): Promise<ExportJobRecord> {
    const job = this.get(id)
    if (job.status !== 'failed' && job.status !== 'cancelled') throw wrongStatus(job, 'is not one to begin again')
    const { error, endedAtMs, ...rest } = job
    await this.#put({ ...rest, status: 'queued' })
    this.#fill()
    return this.get(id)
  }

  async delete(id: string): Promise<void> {
    const job = this.get(id)
    if (!isEnded(job)) throw wrongStatus(job, 'has not ended: cancel it first')
    await this.#forget(job)
  }

  /** Those that run are cut off; the next server begins them again. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true
    for (const { controller } of this.#running.values()) controller.abort(new Stopping())
    await Promise.all([...this.#running.values()].map(({ ended }) => ended))
  }

  #fill(): void {
    if (this.#closing) return
    for (const job of this.#parts.records.exportJobs.values()) {
      if (this.#running.size >= this.#limits.maxRunningExportJobs) return
      if (job.status !== 'queued' || this.#running.has(job.id)) continue
      const controller = new AbortController()
      const progress = { contentsRead: 0, size: 0 }
      const ended = this.#run(job, controller.signal, progress)
        .catch((err: unknown) => this.#parts.log.error({ err, job: job.id }, 'cannot record what became of an export'))
        .finally(() => {
          this.#running.delete(job.id)
          this.#changed.wake()
          this.#fill()
        })
      this.#running.set(job.id, { controller, progress, ended })
    }
  }

  async #run(queued: ExportJobRecord, signal: AbortSignal, progress: JobProgress): Promise<void> {
    const { nowMs, log, versions } = this.#parts
    const attempts = queued.attempts + 1
    const job = await this.#put({ ...queued, status: 'running', attempts, startedAtMs: nowMs() })
    try {
      const { size, sha256 } = await this.#write(job, signal, progress)
      await this.#put({ ...job, status: 'done', size, sha256: sha256.toString('hex'), endedAtMs: nowMs() })
      await versions.release(job.id)
      log.info({ job: job.id, source: job.source, bytes: size }, 'exported')
    } catch (error) {
      // The record says that it runs, which is what the next server goes by.
      if (signal.reason instanceof Stopping) return
      const status = signal.reason instanceof Cancelled ? 'cancelled' : 'failed'
      const known = toCroftError(error)
      if (status === 'failed') log.warn({ err: error, job: job.id }, 'an export failed')
      const text = known?.message ?? 'the server failed; its log says why'
      await this.#put({ ...job, status, endedAtMs: nowMs(), ...(status === 'failed' ? { error: text } : {}) })
    }
  }

  #write(
    { id, source, createdAtMs, request, destination }: ExportJobRecord,
    signal: AbortSignal,
    progress: JobProgress,
  ) {
    const place = placeOf(destination, { id, source, createdAtMs, extension: EXTENSIONS[request.format] })
    const onContents = (bytes: number) => {
      progress.contentsRead += bytes
    }
    const archive = archiveOf(this.#parts.store, { rules: undefined, ...request }, { signal, onContents })
    const wake = () => this.#changed.wake()
    async function* counted() {
      for await (const chunk of archive) {
        signal.throwIfAborted()
        yield chunk
        progress.size += chunk.length
        wake()
      }
    }
    return writeBelow(place, counted(), { temporaryName: `.croft-${id}.part`, overwrite: destination.overwrite })
  }

  async #put(job: ExportJobRecord): Promise<ExportJobRecord> {
    const put = await this.#parts.records.exportJobs.put(job)
    this.#changed.wake()
    return put
  }

  /** So that there is room for another. */
  async #forgetOldest(): Promise<void> {
    const { exportJobs } = this.#parts.records
    if (exportJobs.size < this.#limits.maxExportJobs) return
    const oldest = [...exportJobs.values()].find(isEnded)
    if (oldest === undefined) {
      const text = `there are ${this.#limits.maxExportJobs} export jobs that have not ended, which is the limit`
      throw new CroftError('RESOURCE_EXHAUSTED', text)
    }
    await this.#forget(oldest)
  }

  async #forget({ id }: ExportJobRecord): Promise<void> {
    await this.#parts.records.exportJobs.delete(id)
    await this.#parts.versions.release(id)
  }
}

interface Running {
  readonly controller: AbortController
  readonly progress: JobProgress
  /** Never rejects. */
  readonly ended: Promise<void>
}

class Cancelled extends Error {}
class Stopping extends Error {}

function isEnded({ status }: ExportJobRecord): boolean {
  return status === 'done' || status === 'failed' || status === 'cancelled'
}

function wrongStatus({ id, status }: ExportJobRecord, why: string): CroftError {
  return new CroftError('FAILED_PRECONDITION', `export job ${id} is ${status}: it ${why}`, { reason: `job_${status}` })
}
