import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ImageProgress, Sandbox, Server } from '../../sdk/index.ts'
import { type EngineInstance, startEngine } from '../fixtures/engines/engine.ts'
import { imageParts, writeOciArchive } from '../fixtures/engines/image-files.ts'
import { type PrivateUser, privateUser, useEnvironment } from '../fixtures/private-user.ts'
import { has, needs } from '../needs.ts'

const CLI = join(import.meta.dirname, '../../dist/sdk/cli/main.js')

describe('the image of a sandbox', () => {
  let engine: EngineInstance
  let user: PrivateUser
  let server: Server
  let dir: string
  let project: string
  let image: string
  let restoreEnvironment: () => void

  beforeAll(async () => {
    if (!(await has('docker', 'fuse'))) return
    dir = mkdtempSync(join(tmpdir(), 'croft-images-'))
    const archive = join(dir, 'app.tar')
    const settings = { User: '33', WorkingDir: '/srv/app', Env: ['PATH=/bin'], Entrypoint: ['/bin/false'] }
    await writeOciArchive(archive, await imageParts('app', settings))
    await writeOciArchive(join(dir, 'closed.tar'), await imageParts('c', { WorkingDir: '/closed', Env: ['PATH=/bin'] }))
    await writeOciArchive(join(dir, 'absent.tar'), await imageParts('a', { WorkingDir: '/none', Env: ['PATH=/bin'] }))
    image = `oci-archive:${archive}`
    project = join(dir, 'project')
    mkdirSync(join(project, 'sub'), { recursive: true })
    writeFileSync(join(project, 'README'), 'of the project\n')
    engine = await startEngine('docker')
    user = privateUser()
    restoreEnvironment = useEnvironment({
      ...user.env,
      CROFT_DOCKER_SOCKET: engine.socketPath,
      CROFT_IMAGES_ROOTS: JSON.stringify([dir]),
    })
    server = await Server.connect()
  })
  afterAll(async () => {
    if (server === undefined) return
    server.close()
    restoreEnvironment()
    await user[Symbol.asyncDispose]()
    await engine[Symbol.asyncDispose]()
    rmSync(dir, { recursive: true, force: true })
  })
  beforeEach((context) => needs(context, 'docker', 'fuse'))

  test('says where commands begin that name no directory, and who is not root there uses the view', async () => {
    const told: ImageProgress[] = []
    const onImage = (progress: ImageProgress) => told.push(progress)
    const sandbox = await Sandbox.fromLocal(project, {
      ...{ server, runtime: 'docker', image, onImage, permissions: { '/**': 'write' } },
    })
    try {
      expect((await sandbox.run('pwd; cat /workspace/README; echo x > /workspace/made')).stdout).toBe(
        '/srv/app\nof the project\n',
      )
      expect((await sandbox.run('pwd', { cwd: 'sub' })).stdout).toBe('/workspace/sub\n')
      expect((await sandbox.run('pwd', { cwd: '/mnt/../srv' })).stdout).toBe('/srv\n')
      await using session = await sandbox.session()
      expect((await session.run('pwd')).stdout).toBe('/srv/app\n')
      const background = await sandbox.commands.start('pwd')
      await background.wait()
      let said = ''
      for await (const { text } of background.output()) said += text
      expect(said).toBe('/srv/app\n')
      expect((await sandbox.info()).image).toBe(image)
      expect(told.every(({ phase, bytes, totalBytes }) => phase === 'loading' && bytes <= totalBytes)).toBe(true)
    } finally {
      await sandbox.kill()
    }
  })

  test.each(['closed', 'absent'])('with a directory that is %s leaves commands in the view', async (name) => {
    await using sandbox = await Sandbox.fromLocal(project, {
      ...{ server, runtime: 'docker', image: `oci-archive:${join(dir, `${name}.tar`)}` },
    })
    expect((await sandbox.run('pwd')).stdout).toBe('/workspace\n')
  })

  test('is named on the command line, with when to pull it', async () => {
    const run = (...more: string[]) =>
      execa('node', [CLI, 'run', project, '--runtime', 'docker', ...more, '--', 'pwd'], {
        ...{ reject: false, stdin: 'ignore', timeout: 60_000 },
      })
    expect((await run('--image', image)).stdout).toBe('/srv/app')
    const never = await run('--image', 'localhost/none:1', '--pull', 'never')
    expect(never.exitCode).not.toBe(0)
    expect(never.stderr).toContain('docker pull localhost/none:1')
    expect((await run('--image', image, '--pull', 'sometimes')).stderr).toContain('never, missing, always')
    expect((await run('--image', 'docker-archive:/etc/passwd')).stderr).toContain('`images.roots`')
    expect((await run('--image', 'a/../b')).stderr).toContain('name of an image')
    expect(await Sandbox.list({ server })).toEqual([])
    expect(await engine.containers()).toEqual([])
  })
})
