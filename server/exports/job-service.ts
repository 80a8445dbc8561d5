import { fromJson, type MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import {
  type ExportDestinationSchema,
  ExportFormat,
  type ExportJobSchema,
  type ExportJobService,
  ExportJobStatus,
  type ExportScheduleSchema,
  type ExportSpec,
  ExportSpecSchema,
} from '../../proto/index.ts'
import type { Handlers } from '../api/handlers.ts'
import { checkText } from '../codebases/codebases.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import type { ExportJobRecord, ExportScheduleRecord } from '../records/record-types.ts'
import { checkFormat, EXTENSIONS } from './archive-of.ts'
import { type DestinationRecord, parseDestination, pathOf, placeOf } from './destination.ts'
import type { ExportJobs, NewJob } from './export-jobs.ts'
import { type ExportSpecDependencies, parseExport } from './export-spec.ts'
import { parseImageConfig } from './image-config.ts'
import type { Schedules } from './schedules.ts'

export interface JobServiceDependencies extends ExportSpecDependencies {
  readonly jobs: ExportJobs
  readonly schedules: Schedules
  readonly roots: readonly string[]
  readonly limits: Limits
}

export function jobService(parts: JobServiceDependencies): Handlers<typeof ExportJobService> {
  const { jobs, schedules, sandboxes, roots } = parts
  const message = (job: ExportJobRecord) => jobMessage(job, jobs)
  return {
    startExport: async ({ spec, destination }, { signal }) => {
      if (spec === undefined) throw invalid('spec', 'is missing')
      const wanted = parseDestination(destination, roots)
      return message(await jobs.start({ ...parseJob(spec, parts), destination: wanted }, signal))
    },

    getExportJob: async ({ jobId }) => message(jobs.get(jobId)),

    listExportJobs: async ({ status, sourceName, pageSize, pageToken }) => {
      const filter = { status: parseStatus(status), source: sourceName }
      const { items, nextPageToken } = jobs.list(filter, pageSize, pageToken)
      return { jobs: items.map(message), nextPageToken }
    },

    async *watchExportJob({ jobId }, { signal }) {
      for await (const job of jobs.watch(jobId, signal)) yield message(job)
    },

    cancelExportJob: async ({ jobId }) => message(await jobs.cancel(jobId)),

    retryExportJob: async ({ jobId }) => message(await jobs.retry(jobId)),

    deleteExportJob: async ({ jobId }) => {
      await jobs.delete(jobId)
      return {}
    },

    setExportSchedule: async (request) =>
      scheduleMessage(await schedules.set(request, sandboxes.get(request.sandboxId))),

    listExportSchedules: async ({ sandboxId }) => {
      if (sandboxId !== '') sandboxes.get(sandboxId)
      return { schedules: schedules.of(sandboxId).map(scheduleMessage) }
    },

    deleteExportSchedule: async ({ sandboxId, name }) => {
      await schedules.delete(sandboxes.get(sandboxId).id, name)
      return {}
    },
  }
}

/** Throws before any work is done. */
export function parseJob(
  spec: ExportSpec,
  parts: ExportSpecDependencies & { readonly limits: Limits },
): Pick<NewJob, 'parsed' | 'request'> {
  const parsed = parseExport(spec, parts)
  if (spec.image?.hasBase === true) {
    const text = 'spec.image.has_base: a job has nobody who would send the other image; use Export'
    throw new CroftError('UNIMPLEMENTED', text, { field: 'spec.image.has_base' })
  }
  checkText(spec.commitMessage, 'spec.commit_message', parts.limits.maxNameBytes)
  checkFormat(parsed.format)
  const commitMessage = spec.commitMessage || `Exported from ${parsed.name}`
  return { parsed, request: { image: parseImageConfig(spec.image, parts.limits), commitMessage } }
}

const STATUSES = {
  queued: ExportJobStatus.QUEUED,
  running: ExportJobStatus.RUNNING,
  done: ExportJobStatus.DONE,
  failed: ExportJobStatus.FAILED,
  cancelled: ExportJobStatus.CANCELLED,
} as const satisfies Record<ExportJobRecord['status'], ExportJobStatus>

function parseStatus(status: ExportJobStatus): ExportJobRecord['status'] | undefined {
  if (status === ExportJobStatus.UNSPECIFIED) return undefined
  const found = Object.entries(STATUSES).find(([, each]) => each === status)
  if (found === undefined) throw invalid('status', `is ${status}, which is no status of a job`)
  return found[0] as ExportJobRecord['status']
}

const FORMATS = {
  tar: ExportFormat.TAR,
  'tar.gz': ExportFormat.TAR_GZ,
  'tar.zst': ExportFormat.TAR_ZST,
  zip: ExportFormat.ZIP,
  'oci-layer': ExportFormat.OCI_LAYER,
  'oci-image': ExportFormat.OCI_IMAGE,
  patch: ExportFormat.PATCH,
  'git-bundle': ExportFormat.GIT_BUNDLE,
} as const

function jobMessage(job: ExportJobRecord, jobs: ExportJobs): MessageInitShape<typeof ExportJobSchema> {
  const { id, source, request, destination, createdAtMs, startedAtMs, endedAtMs, contentsBytes } = job
  const progress = jobs.progressOf(id)
  const place = placeOf(destination, { id, source, createdAtMs, extension: EXTENSIONS[request.format] })
  return {
    id,
    sourceName: source,
    format: FORMATS[request.format],
    status: STATUSES[job.status],
    destination: destinationMessage(destination),
    location: pathOf(place),
    rootHash: Buffer.from(request.version, 'hex'),
    contentsBytes: BigInt(contentsBytes),
    contentsRead: BigInt(job.status === 'done' ? contentsBytes : (progress?.contentsRead ?? 0)),
    size: BigInt(job.size ?? progress?.size ?? 0),
    sha256: Buffer.from(job.sha256 ?? '', 'hex'),
    error: job.error ?? '',
    attempts: job.attempts,
    schedule: job.schedule ?? '',
    createdAt: timestampFromMs(createdAtMs),
    ...(startedAtMs === undefined ? {} : { startedAt: timestampFromMs(startedAtMs) }),
    ...(endedAtMs === undefined ? {} : { endedAt: timestampFromMs(endedAtMs) }),
  }
}

function scheduleMessage(record: ExportScheduleRecord): MessageInitShape<typeof ExportScheduleSchema> {
  const { sandboxId, name, everyMinutes, onStop, onDestroy, lastAtMs, error = '' } = record
  return {
    ...{ sandboxId, name, everyMinutes, onStop, onDestroy, error },
    spec: fromJson(ExportSpecSchema, record.spec),
    destination: destinationMessage(record.destination),
    ...(lastAtMs === undefined ? {} : { lastAt: timestampFromMs(lastAtMs) }),
  }
}

function destinationMessage(record: DestinationRecord): MessageInitShape<typeof ExportDestinationSchema> {
  const path = `${pathOf(record)}${record.isDirectory ? '/' : ''}`
  return { destination: { case: 'file', value: { path, overwrite: record.overwrite } } }
}
