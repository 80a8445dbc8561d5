import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  type ExportDestinationSchema,
  ExportJobService,
  ExportJobStatus as ExportJobStatusOnWire,
  type ExportJob as WireJob,
  type ExportSchedule as WireSchedule,
} from '../proto/index.ts'
import type { Connection } from './client/connection.ts'
import { dateFrom } from './durations.ts'
import { InvalidArgumentError } from './errors.ts'
import { type ArchiveOptions, type ExportFormat, formatFromWire, sourceOf, specToWire } from './export.ts'

export const EXPORT_JOB_STATUSES = ['queued', 'running', 'done', 'failed', 'cancelled'] as const
export type ExportJobStatus = (typeof EXPORT_JOB_STATUSES)[number]

/** Below one of the directories that the server's setting `exports.roots` names. */
export interface ServerFile {
  /** Absolute, on the server's host. With a slash at its end a directory, in which the file is named by the server. */
  readonly path: string
  /** Default false: a file that is there and differs is an error. */
  readonly overwrite?: boolean
}

export interface StartJobOptions extends Omit<ArchiveOptions, 'onProgress' | 'image'> {
  readonly image?: Omit<NonNullable<ArchiveOptions['image']>, 'base'>
  readonly to: ServerFile
}

/** An archive that the server writes by itself. */
export interface ExportJob {
  readonly id: string
  /** The id of what it is of. */
  readonly source: string
  readonly format: ExportFormat
  readonly status: ExportJobStatus
  /** Where the file is, or is to be; its sum is beside it, in a file with `.sha256` behind its name. */
  readonly location: string
  readonly rootHash: string
  /** Of all files, and how many of them have been read while it runs. */
  readonly contentsBytes: number
  readonly contentsRead: number
  /** Of the archive: written so far. */
  readonly bytes: number
  /** Of one that is done. */
  readonly sha256?: string
  /** Of one that failed. */
  readonly error?: string
  readonly attempts: number
  readonly schedule?: string
  readonly createdAt?: Date
  readonly startedAt?: Date
  readonly endedAt?: Date
}

export interface ScheduleOptions extends StartJobOptions {
  /** Of the schedules of the sandbox; one of that name is replaced. */
  readonly name: string
  /** While it runs. */
  readonly everyMinutes?: number
  readonly onStop?: boolean
  readonly onDestroy?: boolean
}

export interface ExportSchedule {
  readonly sandboxId: string
  readonly name: string
  readonly everyMinutes: number
  readonly onStop: boolean
  readonly onDestroy: boolean
  readonly path: string
  readonly lastAt?: Date
  /** Why the last one could not be started. */
  readonly error?: string
}

/** The exports that a server makes by itself. For admins. */
export class ExportJobs {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** Of a sandbox, a snapshot or a codebase, as it is when this resolves; it is written afterwards. */
  async start(id: string, { to, ...options }: StartJobOptions): Promise<ExportJob> {
    const request = { spec: specToWire(sourceOf(id), options), destination: destinationOf(to) }
    return jobFromWire(
      await this.#connection.unary(ExportJobService.method.startExport, request, {
        deadlineMs: null,
        signal: options.signal,
      }),
    )
  }

  async get(jobId: string): Promise<ExportJob> {
    return jobFromWire(await this.#connection.unary(ExportJobService.method.getExportJob, { jobId }))
  }

  /** In the order in which they were started. */
  async list(filter: { readonly source?: string; readonly status?: ExportJobStatus } = {}): Promise<ExportJob[]> {
    const jobs: ExportJob[] = []
    let pageToken = ''
    do {
      const request = { sourceName: filter.source ?? '', status: statusToWire(filter.status), pageToken }
      const page = await this.#connection.unary(ExportJobService.method.listExportJobs, request)
      jobs.push(...page.jobs.map(jobFromWire))
      pageToken = page.nextPageToken
    } while (pageToken !== '')
    return jobs
  }

  /** As it is, and each time that it is further, until it has ended. */
  async *watch(jobId: string, options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<ExportJob> {
    for await (const job of this.#connection.serverStream(ExportJobService.method.watchExportJob, { jobId }, options)) {
      yield jobFromWire(job)
    }
  }

  /** As it is when it has ended, in whatever way. */
  async wait(jobId: string, options: { readonly signal?: AbortSignal } = {}): Promise<ExportJob> {
    let last: ExportJob | undefined
    for await (const job of this.watch(jobId, options)) last = job
    return last ?? (await this.get(jobId))
  }

  /** Nothing of it is left at its destination when this resolves. */
  async cancel(jobId: string): Promise<ExportJob> {
    return jobFromWire(await this.#connection.unary(ExportJobService.method.cancelExportJob, { jobId }))
  }

  /** One that failed or was cancelled is begun again, with what it was of. */
  async retry(jobId: string): Promise<ExportJob> {
    return jobFromWire(await this.#connection.unary(ExportJobService.method.retryExportJob, { jobId }))
  }

  /** Of one that has ended; what it wrote stays. */
  async delete(jobId: string): Promise<void> {
    await this.#connection.unary(ExportJobService.method.deleteExportJob, { jobId })
  }

  /** Has a sandbox exported by itself. */
  async schedule(sandboxId: string, options: ScheduleOptions): Promise<ExportSchedule> {
    const { to, name, everyMinutes = 0, onStop = false, onDestroy = false, ...archive } = options
    const request = {
      ...{ sandboxId, name, everyMinutes, onStop, onDestroy },
      spec: specToWire(undefined, archive),
      destination: destinationOf(to),
    }
    return scheduleFromWire(await this.#connection.unary(ExportJobService.method.setExportSchedule, request))
  }

  async schedules(sandboxId = ''): Promise<ExportSchedule[]> {
    const { schedules } = await this.#connection.unary(ExportJobService.method.listExportSchedules, { sandboxId })
    return schedules.map(scheduleFromWire)
  }

  async unschedule(sandboxId: string, name: string): Promise<void> {
    await this.#connection.unary(ExportJobService.method.deleteExportSchedule, { sandboxId, name })
  }
}

const STATUSES: Readonly<Record<ExportJobStatus, ExportJobStatusOnWire>> = {
  queued: ExportJobStatusOnWire.QUEUED,
  running: ExportJobStatusOnWire.RUNNING,
  done: ExportJobStatusOnWire.DONE,
  failed: ExportJobStatusOnWire.FAILED,
  cancelled: ExportJobStatusOnWire.CANCELLED,
}

function statusToWire(status: ExportJobStatus | undefined): ExportJobStatusOnWire {
  if (status === undefined) return ExportJobStatusOnWire.UNSPECIFIED
  const found = STATUSES[status]
  if (found !== undefined) return found
  const text = `status is ${JSON.stringify(status)}; it must be one of ${EXPORT_JOB_STATUSES.join(', ')}`
  throw new InvalidArgumentError(text, 'status')
}

function destinationOf({ path, overwrite = false }: ServerFile): MessageInitShape<typeof ExportDestinationSchema> {
  return { destination: { case: 'file', value: { path, overwrite } } }
}

function jobFromWire(job: WireJob): ExportJob {
  const [createdAt, startedAt, endedAt] = [dateFrom(job.createdAt), dateFrom(job.startedAt), dateFrom(job.endedAt)]
  return {
    id: job.id,
    source: job.sourceName,
    format: formatFromWire(job.format),
    status: EXPORT_JOB_STATUSES.find((each) => STATUSES[each] === job.status) ?? 'queued',
    location: job.location,
    rootHash: Buffer.from(job.rootHash).toString('hex'),
    contentsBytes: Number(job.contentsBytes),
    contentsRead: Number(job.contentsRead),
    bytes: Number(job.size),
    attempts: job.attempts,
    ...(job.sha256.length === 0 ? {} : { sha256: Buffer.from(job.sha256).toString('hex') }),
    ...(job.error === '' ? {} : { error: job.error }),
    ...(job.schedule === '' ? {} : { schedule: job.schedule }),
    ...(createdAt === undefined ? {} : { createdAt }),
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(endedAt === undefined ? {} : { endedAt }),
  }
}

function scheduleFromWire(schedule: WireSchedule): ExportSchedule {
  const { sandboxId, name, everyMinutes, onStop, onDestroy, destination, error } = schedule
  const lastAt = dateFrom(schedule.lastAt)
  return {
    ...{ sandboxId, name, everyMinutes, onStop, onDestroy },
    path: destination?.destination.value?.path ?? '',
    ...(lastAt === undefined ? {} : { lastAt }),
    ...(error === '' ? {} : { error }),
  }
}
