import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Sandbox, Server } from '../../sdk/index.ts'
import { type EngineInstance, startEngine } from '../fixtures/engines/engine.ts'
import { busyboxImage } from '../fixtures/engines/images.ts'
import { type PrivateUser, privateUser, useEnvironment } from '../fixtures/private-user.ts'
import { has, needs } from '../needs.ts'

const CLI = join(import.meta.dirname, '../../dist/sdk/cli/main.js')

describe.each(['docker', 'podman'] as const)('a sandbox in a container of %s', (runtime) => {
  let engine: EngineInstance
  let image: string
  let user: PrivateUser
  let server: Server
  let project: string
  let restoreEnvironment: () => void

  beforeAll(async () => {
    if (!(await has(runtime, 'fuse'))) return
    engine = await startEngine(runtime)
    image = await busyboxImage(engine, ['ENV GREETING=hello'])
    user = privateUser()
    restoreEnvironment = useEnvironment({
      ...user.env,
      CROFT_DOCKER_SOCKET: runtime === 'docker' ? engine.socketPath : '/no/docker.sock',
      CROFT_PODMAN_SOCKET: runtime === 'podman' ? engine.socketPath : '/no/podman.sock',
    })
    project = mkdtempSync(join(tmpdir(), 'croft-project-'))
    writeFileSync(join(project, 'README'), 'original\n')
    writeFileSync(join(project, 'secret.env'), 'hidden\n')
    server = await Server.connect()
  })
  afterAll(async () => {
    if (server === undefined) return
    server.close()
    restoreEnvironment()
    await user[Symbol.asyncDispose]()
    rmSync(project, { recursive: true, force: true })
    await engine[Symbol.asyncDispose]()
  })
  beforeEach((context) => needs(context, runtime, 'fuse'))

  test('has the view with its rules, the image’s variables, and a delta that outlives it', async () => {
    const permissions = { '/**': 'write', '/secret.env': 'none' } as const
    const sandbox = await Sandbox.fromLocal(project, { server, runtime, image, permissions })
    try {
      const { stdout } = await sandbox.run(
        'cat README; ls; echo $GREETING $HOME; echo changed > README; cat /etc/passwd | head -1',
      )
      expect(stdout).toBe('original\nREADME\nhello /home/croft\nroot:x:0:0::/:/bin/sh\n')
      await sandbox.stop()
      expect(await engine.containers()).toEqual([])
      await sandbox.start()
      expect((await sandbox.run('cat README')).stdout).toBe('changed\n')
      expect(readFileSync(join(project, 'README'), 'utf8')).toBe('original\n')
    } finally {
      await sandbox.kill()
    }
    expect(await engine.containers()).toEqual([])
  })

  test('cannot be had without an image, nor with one that the engine lacks', async () => {
    await expect(Sandbox.fromLocal(project, { server, runtime })).rejects.toMatchObject({ field: 'image' })
    await expect(Sandbox.fromLocal(project, { server, runtime, image: 'localhost/none:1' })).rejects.toThrow(
      `${runtime} pull localhost/none:1`,
    )
  })

  test('is what the command line runs in too, and what it says of the engines', async () => {
    const ran = await execa(
      'node',
      [CLI, 'run', project, '--runtime', runtime, '--image', image, '--', 'sh', '-c', 'id -u; exit 3'],
      {
        reject: false,
        stdin: 'ignore',
      },
    )
    expect(ran.exitCode).toBe(3)
    expect(Number(ran.stdout)).toBeGreaterThan(1000)
    const { stdout } = await execa('node', [CLI, 'doctor'], { stdin: 'ignore' })
    const [yes, no] = runtime === 'docker' ? ['docker', 'podman'] : ['podman', 'docker']
    expect(stdout).toMatch(new RegExp(`^${yes} +yes .*image`, 'm'))
    expect(stdout).toMatch(new RegExp(`^${no} +no .*/no/${no}\\.sock.*apt-get install`, 'm'))
    expect(stdout).toMatch(
      new RegExp(`^WHAT MENDS IT\\n${no}:  (systemctl enable --now|apt-get install -y) ${no}`, 'm'),
    )
  })

  test('is in error when its engine dies, with what it wrote', async () => {
    const sandbox = await Sandbox.fromLocal(project, { server, runtime, image, permissions: { '/**': 'write' } })
    await sandbox.run('echo kept > kept')
    await engine.kill()
    await expect.poll(async () => (await sandbox.info()).status).toBe('error')
    expect((await sandbox.info()).error).toContain('cannot be reached')
    await engine.start()
    await sandbox.start()
    expect((await sandbox.run('cat kept')).stdout).toBe('kept\n')
    await sandbox.kill()
  })

  test('leaves no container behind when the server is killed, once the next one has started', async () => {
    const sandbox = await Sandbox.fromLocal(project, { server, runtime, image })
    const [container] = await engine.containers()
    expect(container?.Labels['croft.sandbox']).toBe(sandbox.id)
    const { pid } = await server.info()
    process.kill(pid, 'SIGKILL')
    await expect.poll(() => existsSync(`/proc/${pid}/exe`)).toBe(false)
    // A process of its own starts the next one: here the connection to the last would be tried for a while.
    const { stdout } = await execa('node', [CLI, 'doctor', '--json'], { stdin: 'ignore' })
    expect((JSON.parse(stdout) as { pid: number }).pid).not.toBe(pid)
    expect(await engine.containers()).toEqual([])
  })
})
