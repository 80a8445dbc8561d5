import { create, fromJson, toJson } from '@bufbuild/protobuf'
import { type ExportSpec, ExportSpecSchema, type SetExportScheduleRequest } from '../../proto/index.ts'
import { checkText } from '../codebases/codebases.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid, notFound } from '../errors/croft-error.ts'
import { toCroftError } from '../errors/to-croft-error.ts'
import type { Logger } from '../observability/log.ts'
import type { ExportJobRecord, ExportScheduleRecord, SandboxRecord } from '../records/record-types.ts'
import type { Records } from '../records/records.ts'
import { parseDestination } from './destination.ts'
import type { ExportJobs, NewJob } from './export-jobs.ts'

export interface SchedulesOptions {
  readonly limits: Limits
  readonly roots: readonly string[]
}

export interface SchedulesDependencies {
  readonly records: Records
  readonly jobs: ExportJobs
  readonly parse: (spec: ExportSpec) => Pick<NewJob, 'parsed' | 'request'>
  readonly nowMs: () => number
  readonly log: Logger
}

const MINUTE_MS = 60_000
const MAX_MINUTES = 366 * 24 * 60

/** Which sandboxes are exported by themselves, and when. They start jobs, and no more. */
export class Schedules {
  readonly #options: SchedulesOptions
  readonly #parts: SchedulesDependencies

  constructor(options: SchedulesOptions, dependencies: SchedulesDependencies) {
    this.#options = options
    this.#parts = dependencies
  }

  async set(request: SetExportScheduleRequest, sandbox: SandboxRecord): Promise<ExportScheduleRecord> {
    const { records, parse, nowMs } = this.#parts
    const { limits, roots } = this.#options
    const { name, everyMinutes, onStop, onDestroy } = request
    checkText(name, 'name', limits.maxNameBytes)
    if (name.trim() === '') throw invalid('name', 'is missing')
    if (everyMinutes < 0 || everyMinutes > MAX_MINUTES) {
      throw invalid('every_minutes', `must be from 0 to ${MAX_MINUTES}`)
    }
    if (everyMinutes === 0 && !onStop && !onDestroy) {
      throw invalid('every_minutes', 'is missing, and so are on_stop and on_destroy: it would never be')
    }
    const destination = parseDestination(request.destination, roots)
    if (!destination.isDirectory) throw invalid('destination.file.path', 'must be a directory: end it with a slash')
    const spec = specOf(request, sandbox)
    parse(spec)

    const id = `${sandbox.id}/${name}`
    const before = records.exportSchedules.get(id)
    if (before === undefined && this.of(sandbox.id).length >= limits.maxExportSchedulesPerSandbox) {
      const text = `sandbox ${sandbox.id} has ${limits.maxExportSchedulesPerSandbox} schedules, which is the limit`
      throw new CroftError('RESOURCE_EXHAUSTED', text)
    }
    return await records.exportSchedules.put({
      ...{ id, sandboxId: sandbox.id, name, destination, everyMinutes, onStop, onDestroy },
      sequence: before?.sequence ?? records.exportSchedules.nextSequence(),
      createdAtMs: nowMs(),
      spec: toJson(ExportSpecSchema, spec),
    })
  }

  /** Empty: of all. */
  of(sandboxId: string): ExportScheduleRecord[] {
    const all = [...this.#parts.records.exportSchedules.values()]
    return sandboxId === '' ? all : all.filter((each) => each.sandboxId === sandboxId)
  }

  async delete(sandboxId: string, name: string): Promise<void> {
    const { exportSchedules } = this.#parts.records
    const id = `${sandboxId}/${name}`
    if (exportSchedules.get(id) === undefined) throw notFound('export schedule', name)
    await exportSchedules.delete(id)
  }

  /** Those whose time has come, of sandboxes that run; one whose last job has not ended waits for it. */
  async runDue(): Promise<void> {
    const { records, nowMs } = this.#parts
    for (const schedule of this.of('')) {
      const { everyMinutes, sandboxId, createdAtMs, lastAtMs = createdAtMs } = schedule
      if (everyMinutes === 0 || nowMs() - lastAtMs < everyMinutes * MINUTE_MS) continue
      if (records.sandboxes.get(sandboxId)?.status !== 'running' || this.#isUnderWay(schedule)) continue
      await this.#run(schedule)
    }
  }

  async stopped({ id }: SandboxRecord): Promise<void> {
    for (const schedule of this.of(id)) if (schedule.onStop) await this.#run(schedule)
  }

  /** What it had is held by the jobs when this resolves. It never rejects. */
  async destroying({ id }: SandboxRecord): Promise<void> {
    const schedules = this.of(id)
    for (const schedule of schedules) if (schedule.onDestroy) await this.#run(schedule)
    await this.#parts.records.exportSchedules.delete(...schedules.map((each) => each.id))
  }

  /** What is wrong with one is told where it is listed, and in the log. */
  async #run(schedule: ExportScheduleRecord): Promise<void> {
    const { jobs, parse, records, nowMs, log } = this.#parts
    const { sandboxId, name, spec, destination, error: _, ...rest } = schedule
    const lastAtMs = nowMs()
    let error: string | undefined
    try {
      const parsed = parse(fromJson(ExportSpecSchema, spec))
      const signal = new AbortController().signal
      await jobs.start({ ...parsed, destination, schedule: name }, signal)
    } catch (err) {
      log.warn({ err, sandbox: sandboxId, schedule: name }, 'cannot start a scheduled export')
      error = toCroftError(err)?.message ?? 'the server failed; its log says why'
    }
    const failed = error === undefined ? {} : { error }
    await records.exportSchedules.put({ ...rest, sandboxId, name, spec, destination, lastAtMs, ...failed })
  }

  #isUnderWay({ sandboxId, name }: ExportScheduleRecord): boolean {
    const isOpen = ({ status }: ExportJobRecord) => status === 'queued' || status === 'running'
    const jobs = [...this.#parts.records.exportJobs.values()]
    return jobs.some((job) => job.schedule === name && job.source === sandboxId && isOpen(job))
  }
}

function specOf({ spec }: SetExportScheduleRequest, { id }: SandboxRecord): ExportSpec {
  if (spec === undefined) throw invalid('spec', 'is missing')
  if (spec.source.case !== undefined) throw invalid('spec.source', 'is the sandbox')
  return create(ExportSpecSchema, { ...spec, source: { case: 'sandboxId', value: id } })
}
