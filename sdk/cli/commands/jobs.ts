import { type Command, Option } from 'commander'
import { FailedPreconditionError } from '../../errors.ts'
import { EXPORT_JOB_STATUSES, type ExportJob, type ExportJobStatus, type ExportSchedule } from '../../export-jobs.ts'
import { Server } from '../../server.ts'
import { type ArchiveFlags, archiveOptions, withArchiveFlags } from '../archive-flags.ts'
import { parseCount } from '../arguments.ts'
import { type ServerFlags, serverOption, withServerFlags } from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { exportBar } from '../progress.ts'
import { printJson, printTable } from '../report.ts'

interface StartFlags extends ServerFlags, ArchiveFlags {
  readonly to: string
  readonly overwrite?: boolean
}

interface ScheduleFlags extends StartFlags {
  readonly every?: number
  readonly onStop?: boolean
  readonly onDestroy?: boolean
}

interface ListFlags extends ServerFlags {
  readonly of?: string
  readonly status?: ExportJobStatus
}

export function addJobs(program: Command): void {
  const jobs = program
    .command('jobs')
    .summary('have the server write exports by itself')
    .description(
      'A job writes an archive on the host of the server, below a directory that its setting exports.roots names, with ' +
        'its SHA-256 beside it. It goes on without a client, and after a restart of the server. For admins.',
    )
    .addHelpText(
      'after',
      `
Examples:
  JOB=$(croft jobs start sb_0123456789abcdef --format tar.zst --to /srv/exports/)
  croft jobs watch $JOB
  croft jobs schedule sb_0123456789abcdef hourly --every 60 --on-destroy --to /srv/exports/`,
    )
  const each = [addStart, addList, addGet, addWatch, addCancel, addRetry, addDelete, addSchedule, addSchedules]
  for (const add of [...each, addUnschedule]) add(jobs)
  for (const command of jobs.commands)
    command.exitOverride().showHelpAfterError(`(croft jobs ${command.name()} --help)`)
}

function withDestination(command: Command): Command {
  return withArchiveFlags(command)
    .requiredOption('--to <path>', 'on the host of the server; with a slash at its end a directory')
    .option('--overwrite', 'replace a file that is there')
}

function destinationOf({ to, overwrite = false }: StartFlags) {
  return { to: { path: to, overwrite } }
}

function addStart(jobs: Command): void {
  const command = jobs
    .command('start')
    .summary('start one, and print its id')
    .description('What it is of is as it is now, whatever becomes of it meanwhile.')
    .argument('<id>', 'of a sandbox, a snapshot or a codebase')
  withServerFlags(withDestination(command)).action(async (id: string, flags: StartFlags) => {
    await withServer(flags, async (server, signal) => {
      const job = await server.jobs.start(id, { ...archiveOptions(flags), ...destinationOf(flags), signal })
      if (flags.json === true) printJson(job)
      else process.stdout.write(`${job.id}\n`)
    })
  })
}

function addList(jobs: Command): void {
  const command = jobs
    .command('list')
    .summary('list them')
    .description('Lists jobs, the oldest first.')
    .option('--of <id>', 'only those of this sandbox, snapshot or codebase')
    .addOption(new Option('--status <status>', 'only those').choices([...EXPORT_JOB_STATUSES]))
  withServerFlags(command).action(async ({ of, status, ...flags }: ListFlags) => {
    await withServer(flags, async (server) => {
      const filter = { ...(of === undefined ? {} : { source: of }), ...(status === undefined ? {} : { status }) }
      const found = await server.jobs.list(filter)
      if (flags.json === true) printJson(found)
      else printTable(['ID', 'STATUS', 'FORMAT', 'OF', 'BYTES', 'WHERE'], found.map(row))
    })
  })
}

function row(job: ExportJob): string[] {
  const { id, status, format, source, bytes, location, error } = job
  return [id, status, format, source, String(bytes), error === undefined ? location : `${location}: ${error}`]
}

function addGet(jobs: Command): void {
  const command = jobs.command('get').summary('show one').description('Shows a job.').argument('<job>', 'its id')
  withServerFlags(command).action(async (id: string, flags: ServerFlags) => {
    await withServer(flags, async (server) => show(await server.jobs.get(id), flags))
  })
}

function addWatch(jobs: Command): void {
  const command = jobs
    .command('watch')
    .summary('wait for one, with a progress bar')
    .description('Waits until a job has ended, and fails if it failed. Ctrl-C ends the waiting and not the job.')
    .argument('<job>', 'its id')
  withServerFlags(command).action(async (id: string, flags: ServerFlags) => {
    await withServer(flags, async (server, signal) => {
      const bar = exportBar(flags.json === true)
      let last: ExportJob | undefined
      try {
        for await (const job of server.jobs.watch(id, { signal })) {
          last = job
          bar.onProgress(job)
        }
      } finally {
        bar.stop()
      }
      if (last === undefined) return
      if (last.status === 'done') return show(last, flags)
      throw new FailedPreconditionError(`Job ${id} ${last.status}: ${last.error ?? 'somebody gave it up'}`)
    })
  })
}

function addCancel(jobs: Command): void {
  const command = jobs
    .command('cancel')
    .summary('give one up')
    .description('Nothing of it is left where it was to be written.')
    .argument('<job>', 'its id')
  withServerFlags(command).action(async (id: string, flags: ServerFlags) => {
    await withServer(flags, async (server) => show(await server.jobs.cancel(id), flags))
  })
}

function addRetry(jobs: Command): void {
  const command = jobs
    .command('retry')
    .summary('begin one again that failed')
    .description('Begins a job again that failed or was cancelled, with what it was of.')
    .argument('<job>', 'its id')
  withServerFlags(command).action(async (id: string, flags: ServerFlags) => {
    await withServer(flags, async (server) => show(await server.jobs.retry(id), flags))
  })
}

function addDelete(jobs: Command): void {
  const command = jobs
    .command('delete')
    .summary('forget one that has ended')
    .description('What it wrote stays.')
    .argument('<job>', 'its id')
  withServerFlags(command).action(async (id: string, flags: ServerFlags) => {
    await withServer(flags, (server) => server.jobs.delete(id))
  })
}

function addSchedule(jobs: Command): void {
  const command = jobs
    .command('schedule')
    .summary('have a sandbox exported by itself')
    .description('Starts a job every so many minutes while the sandbox runs, when it stops, or before it is destroyed.')
    .argument('<sandbox>', 'its id')
    .argument('<name>', 'of the schedule; one of that name is replaced')
    .option('--every <minutes>', 'while it runs', parseCount)
    .option('--on-stop', 'when it has stopped')
    .option('--on-destroy', 'before it is destroyed')
  withServerFlags(withDestination(command)).action(async (id: string, name: string, flags: ScheduleFlags) => {
    await withServer(flags, async (server) => {
      const made = await server.jobs.schedule(id, {
        ...archiveOptions(flags),
        ...destinationOf(flags),
        name,
        ...(flags.every === undefined ? {} : { everyMinutes: flags.every }),
        ...(flags.onStop === undefined ? {} : { onStop: flags.onStop }),
        ...(flags.onDestroy === undefined ? {} : { onDestroy: flags.onDestroy }),
      })
      if (flags.json === true) printJson(made)
    })
  })
}

function addSchedules(jobs: Command): void {
  const command = jobs
    .command('schedules')
    .summary('list schedules')
    .description('Lists the schedules of a sandbox, or of all.')
    .argument('[sandbox]', 'its id', '')
  withServerFlags(command).action(async (id: string, flags: ServerFlags) => {
    await withServer(flags, async (server) => {
      const found = await server.jobs.schedules(id)
      if (flags.json === true) printJson(found)
      else printTable(['SANDBOX', 'NAME', 'WHEN', 'WHERE'], found.map(scheduleRow))
    })
  })
}

function scheduleRow({ sandboxId, name, everyMinutes, onStop, onDestroy, path, error }: ExportSchedule): string[] {
  const when = [everyMinutes > 0 ? `${everyMinutes} min` : '', onStop ? 'stop' : '', onDestroy ? 'destroy' : '']
  return [
    sandboxId,
    name,
    when.filter((each) => each !== '').join(', '),
    error === undefined ? path : `${path}: ${error}`,
  ]
}

function addUnschedule(jobs: Command): void {
  const command = jobs
    .command('unschedule')
    .summary('take a schedule away')
    .description('Jobs that it has started go on.')
    .argument('<sandbox>', 'its id')
    .argument('<name>', 'of the schedule')
  withServerFlags(command).action(async (id: string, name: string, flags: ServerFlags) => {
    await withServer(flags, (server) => server.jobs.unschedule(id, name))
  })
}

async function withServer(flags: ServerFlags, work: (server: Server, signal: AbortSignal) => Promise<void>) {
  await interruptible(async (signal) => {
    await using server = await Server.connect(serverOption(flags).server, signal)
    await work(server, signal)
  })
}

function show(job: ExportJob, flags: ServerFlags): void {
  if (flags.json === true) printJson(job)
  else printTable(['ID', 'STATUS', 'FORMAT', 'OF', 'BYTES', 'WHERE'], [row(job)])
}
