import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Sandbox, Server } from '../../sdk/index.ts'
import { type HeldZstd, holdZstd } from '../fixtures/held-zstd.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { needs } from '../needs.ts'

let dir: string
let zstd: HeldZstd | undefined

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse', 'bwrap', 'zstd')
  dir = temporaryServerDir()
  zstd = holdZstd(dir)
})

afterEach(() => {
  zstd?.dispose()
  if (dir !== undefined) removeServerDir(dir)
})

test.each(['SIGKILL', 'SIGTERM'] as const)(
  'after %s the next server writes the jobs of the last one, whose sandbox is gone, with the same bytes',
  async (signal) => {
    const root = join(dir, 'exports')
    const project = join(dir, 'project')
    for (const each of [root, project]) mkdirSync(each)
    const flags = ['--exports-roots', `[${root}]`, '--limits-max-running-export-jobs', '1']
    const first = await ServerProcess.start(dir, ...flags)
    const server = await Server.connect(`unix://${first.ready.socket}`)
    const sandbox = await Sandbox.fromLocal(project, { server, preset: 'development' })
    await sandbox.run('echo result > result')
    const whole = await server.jobs.start(sandbox.id, { format: 'tar.zst', to: { path: join(root, 'whole.tar.zst') } })
    const waiting = await server.jobs.start(sandbox.id, { format: 'zip', to: { path: join(root, 'waiting.zip') } })
    await sandbox.kill()
    for await (const { status } of server.jobs.watch(whole.id)) if (status === 'running') break
    await first.end(signal)
    server.close()
    zstd?.letGo()
    expect(readdirSync(root)).not.toContain('whole.tar.zst')

    await using second = await ServerProcess.start(dir, ...flags)
    const again = await Server.connect(`unix://${second.ready.socket}`)
    expect(await again.jobs.wait(whole.id)).toMatchObject({ status: 'done', attempts: 2, rootHash: whole.rootHash })
    expect(await again.jobs.wait(waiting.id)).toMatchObject({ status: 'done', attempts: 1 })
    expect(readdirSync(root).sort()).toEqual(
      ['waiting.zip', 'waiting.zip.sha256', 'whole.tar.zst', 'whole.tar.zst.sha256'].sort(),
    )
    execFileSync('sha256sum', ['--status', '-c', 'waiting.zip.sha256', 'whole.tar.zst.sha256'], { cwd: root })
    expect(execFileSync('tar', ['--zstd', '-xOf', 'whole.tar.zst', 'result'], { cwd: root, encoding: 'utf8' })).toBe(
      'result\n',
    )
    again.close()
  },
)
