import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ExportJob, Sandbox, Server } from '../../sdk/index.ts'
import { type HeldZstd, holdZstd } from '../fixtures/held-zstd.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { has, needs } from '../needs.ts'

const MAIN = join(import.meta.dirname, '../../dist/sdk/cli/main.js')
const NEEDS = ['root', 'fuse', 'bwrap', 'zstd'] as const

let dir: string
let root: string
let process_: ServerProcess
let server: Server
let sandbox: Sandbox
let zstd: HeldZstd

beforeAll(async () => {
  if (!(await has(...NEEDS))) return
  dir = temporaryServerDir()
  root = join(dir, 'exports')
  mkdirSync(root)
  zstd = holdZstd(dir)
  const limits = ['--limits-max-running-export-jobs', '1', '--limits-max-export-jobs', '5']
  process_ = await ServerProcess.start(
    dir,
    '--exports-roots',
    `[${root}]`,
    ...limits,
    '--limits-max-export-schedules-per-sandbox',
    '3',
  )
  server = await Server.connect(`unix://${process_.ready.socket}`)
  const project = join(dir, 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'file'), 'contents\n')
  writeFileSync(join(project, '.env'), 'TOKEN=secret\n')
  sandbox = await Sandbox.fromLocal(project, { server, preset: 'development' })
})

afterAll(async () => {
  if (process_ === undefined) return
  await sandbox.kill()
  server.close()
  await process_[Symbol.asyncDispose]()
  zstd.dispose()
  removeServerDir(dir)
})

beforeEach((context) => needs(context, ...NEEDS))

async function croft(...args: string[]) {
  return await execa('node', [MAIN, ...args, '--server', server.address], { reject: false, stdin: 'ignore' })
}

async function running({ id }: ExportJob): Promise<void> {
  for await (const { status } of server.jobs.watch(id)) if (status !== 'queued') return
}

describe('a job', () => {
  test('writes what there was when it was started, with a sum beside it', async () => {
    await sandbox.run('echo then > state')
    const job = await server.jobs.start(sandbox.id, { format: 'tar.gz', to: { path: join(root, 'a/b.tar.gz') } })
    await sandbox.run('echo later > state')
    const done = await server.jobs.wait(job.id)
    expect(done).toMatchObject({ status: 'done', location: join(root, 'a/b.tar.gz'), attempts: 1, source: sandbox.id })
    expect(execFileSync('tar', ['-xzOf', done.location, 'state'], { encoding: 'utf8' })).toBe('then\n')
    expect(execFileSync('tar', ['-tzf', done.location], { encoding: 'utf8' })).not.toContain('.env')
    execFileSync('sha256sum', ['--status', '-c', 'b.tar.gz.sha256'], { cwd: join(root, 'a') })
    expect(readFileSync(`${done.location}.sha256`, 'utf8')).toContain(done.sha256)
    expect(await server.jobs.get(job.id)).toEqual(done)
  })

  test('that fails says why, and is done when it is begun again and can be', async () => {
    writeFileSync(join(root, 'taken'), 'mine')
    const { id } = await server.jobs.start(sandbox.id, { to: { path: join(root, 'taken') } })
    const failed = await server.jobs.wait(id)
    expect(failed).toMatchObject({ status: 'failed', error: expect.stringContaining('taken is there already') })
    expect(readFileSync(join(root, 'taken'), 'utf8')).toBe('mine')
    execFileSync('rm', [join(root, 'taken')])
    await server.jobs.retry(id)
    expect(await server.jobs.wait(id)).toMatchObject({ status: 'done', attempts: 2 })
    await expect(server.jobs.retry(id)).rejects.toMatchObject({ code: 'failed_precondition' })
  })

  test('waits while another is written, and is given up in both ways, leaving nothing', async () => {
    const before = readdirSync(root)
    const first = await server.jobs.start(sandbox.id, { format: 'tar.zst', to: { path: `${root}/` } })
    const second = await server.jobs.start(sandbox.id, { to: { path: join(root, 'second.tar') } })
    await running(first)
    expect((await server.jobs.get(second.id)).status).toBe('queued')
    await expect(server.jobs.delete(second.id)).rejects.toMatchObject({ code: 'failed_precondition' })
    // What a sandbox does is not held up by what is written meanwhile.
    expect((await sandbox.run('cat file')).stdout).toBe('contents\n')
    expect(await server.jobs.cancel(second.id)).toMatchObject({ status: 'cancelled', attempts: 0 })
    expect(await server.jobs.cancel(first.id)).toMatchObject({ status: 'cancelled' })
    expect(readdirSync(root)).toEqual(before)
  })

  test('is forgotten when there are more than the limit, the oldest that has ended first', async () => {
    const ids: string[] = []
    for (let count = 0; count < 6; count++) {
      const { id } = await server.jobs.start(sandbox.codebaseId, { to: { path: join(root, `many-${count}`) } })
      await server.jobs.wait(id)
      ids.push(id)
    }
    expect((await server.jobs.list()).map(({ id }) => id)).toEqual(ids.slice(1))
    expect((await server.jobs.list({ source: sandbox.codebaseId, status: 'done' })).length).toBe(5)
    expect(await server.jobs.list({ status: 'failed' })).toEqual([])
  })

  test('is refused where nobody may write, and as what nobody can make', async () => {
    const start = (path: string, more = {}) => server.jobs.start(sandbox.id, { ...more, to: { path } })
    await expect(start('/etc/croft.tar')).rejects.toMatchObject({
      code: 'failed_precondition',
      message: expect.stringContaining('exports.roots'),
    })
    await expect(start(`${root}/../x`)).rejects.toMatchObject({ field: 'destination.file.path' })
    await expect(start(`${root}/x`, { format: 'oci-image', content: 'delta' })).rejects.toMatchObject({
      field: 'spec.content',
    })
    await expect(start(`${root}/x`, { format: 'oci-image', image: { base: 'x' } })).rejects.toMatchObject({
      code: 'unsupported',
    })
    await expect(server.jobs.get('job_0123456789abcdef')).rejects.toMatchObject({ code: 'not_found' })
  })

  test('is started, watched and listed by the command line', async () => {
    const started = await croft('jobs', 'start', sandbox.id, '--format', 'zip', '--to', join(root, 'cli.zip'))
    expect(started).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^job_/) })
    const watched = await croft('jobs', 'watch', started.stdout, '--json')
    expect(JSON.parse(watched.stdout)).toMatchObject({ status: 'done', format: 'zip' })
    expect((await croft('jobs', 'list', '--of', sandbox.id)).stdout).toMatch(new RegExp(`${started.stdout} +done +zip`))
    expect((await croft('jobs', 'delete', started.stdout)).exitCode).toBe(0)
    expect((await croft('jobs', 'get', started.stdout)).stderr).toContain('no export job')
    expect((await croft('jobs', '--help')).stdout).toContain('Example')
  })
})

describe('a schedule', () => {
  test('has a sandbox exported when it stops and before it is destroyed', async () => {
    const other = await Sandbox.fromLocal(join(dir, 'project'), { server, preset: 'development' })
    const to = { path: `${join(root, 'kept')}/` }
    await server.jobs.schedule(other.id, { name: 'stop', onStop: true, to })
    await server.jobs.schedule(other.id, { name: 'end', onDestroy: true, format: 'zip', to })
    expect((await croft('jobs', 'schedule', other.id, 'hourly', '--every', '60', '--to', to.path)).exitCode).toBe(0)
    await expect(server.jobs.schedule(other.id, { name: 'one more', onStop: true, to })).rejects.toMatchObject({
      code: 'resource_exhausted',
    })
    await other.run('echo result > result')
    await other.stop()
    const [stopped] = await server.jobs.list({ source: other.id })
    expect(await server.jobs.wait(stopped?.id ?? '')).toMatchObject({ status: 'done', schedule: 'stop', format: 'tar' })
    expect(execFileSync('tar', ['-xOf', stopped?.location ?? '', 'result'], { encoding: 'utf8' })).toBe('result\n')
    await server.jobs.unschedule(other.id, 'stop')
    expect((await croft('jobs', 'schedules', other.id)).stdout).toMatch(/end +destroy/)
    await other.kill()
    const last = (await server.jobs.list({ source: other.id })).at(-1)
    expect(await server.jobs.wait(last?.id ?? '')).toMatchObject({ status: 'done', schedule: 'end', format: 'zip' })
    expect(await server.jobs.schedules()).toEqual([])
  })

  test('that cannot be is refused by the name of its field', async () => {
    const set = (more: object) =>
      server.jobs.schedule(sandbox.id, { name: 'x', onStop: true, to: { path: `${root}/` }, ...more })
    await expect(set({ onStop: false })).rejects.toMatchObject({ field: 'every_minutes' })
    await expect(set({ everyMinutes: -1 })).rejects.toMatchObject({ field: 'every_minutes' })
    await expect(set({ name: ' ' })).rejects.toMatchObject({ field: 'name' })
    await expect(set({ to: { path: join(root, 'file') } })).rejects.toMatchObject({ field: 'destination.file.path' })
    await expect(set({ format: 'patch', content: 'whole' })).rejects.toMatchObject({ field: 'spec.content' })
    await expect(server.jobs.unschedule(sandbox.id, 'none')).rejects.toMatchObject({ code: 'not_found' })
  })
})
