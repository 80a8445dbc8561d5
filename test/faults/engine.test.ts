import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Sandbox } from '../../sdk/index.ts'
import { type EngineInstance, startEngine } from '../fixtures/engines/engine.ts'
import { busyboxImage } from '../fixtures/engines/images.ts'
import { useEnvironment } from '../fixtures/private-user.ts'
import { processesOf } from '../fixtures/processes-of.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { has, needs } from '../needs.ts'

/** Long enough for an engine on a busy machine, and what is waited for here where it hangs. */
const ANSWER_MS = 3_000

describe.each(['docker', 'podman'] as const)('when the %s engine', (runtime) => {
  let engine: EngineInstance
  let image: string
  let dir: string
  let server: ServerProcess
  let restoreEnvironment: () => void
  let sandbox: Sandbox

  beforeAll(async () => {
    if (!(await has(runtime, 'fuse'))) return
    engine = await startEngine(runtime)
    image = await busyboxImage(engine)
    restoreEnvironment = useEnvironment({ [`CROFT_${runtime.toUpperCase()}_SOCKET`]: engine.socketPath })
    dir = temporaryServerDir()
    server = await ServerProcess.start(dir, '--limit', `engineAnswerMs=${ANSWER_MS}`)
    const { id: codebaseId } = await server.wire.codebases.createCodebase({ name: 'project' })
    sandbox = await Sandbox.create({
      codebase: codebaseId,
      server: `unix://${server.ready.socket}`,
      ...{ runtime, image, preset: 'development' },
    })
  })
  afterAll(async () => {
    if (server === undefined) return
    await sandbox.kill()
    expect(await server.end('SIGTERM')).toBe(0)
    removeServerDir(dir)
    restoreEnvironment()
    await engine[Symbol.asyncDispose]()
  })
  beforeEach(async (context) => {
    await needs(context, runtime, 'fuse')
    if ((await sandbox.info()).status !== 'running') await sandbox.start()
  })

  it('hangs, what runs goes on, what needs it fails within the limit and says so, and all is well afterwards', async () => {
    const { codebaseId } = await sandbox.info()
    const other = await Sandbox.create({
      codebase: codebaseId,
      server: `unix://${server.ready.socket}`,
      ...{ runtime, image, start: false },
    })
    engine.process.kill('SIGSTOP')
    let stopping: Promise<unknown> | undefined
    try {
      await sandbox.run('echo while it hung > hung; sync', { check: true })
      await expect(other.start()).rejects.toThrow(`did not look at an image within ${ANSWER_MS} ms`)
      expect(await other.info()).toMatchObject({
        status: 'error',
        error: expect.stringMatching(new RegExp(`${runtime} at .* restart it`)) as string,
      })
      stopping = sandbox.stop()
    } finally {
      engine.process.kill('SIGCONT')
    }
    await stopping
    await sandbox.start()
    await other.start()
    expect((await sandbox.run('cat hung')).stdout).toBe('while it hung\n')
    expect(await engine.containers()).toHaveLength(2)
    await other.kill()
  })

  it('dies, the sandbox is an error that says so, with all that it wrote, and nothing of it runs on', async () => {
    await sandbox.run('echo before it died > died')
    const uid = Number((await sandbox.run('id -u')).stdout)
    expect(processesOf(uid)).not.toEqual([])
    await engine.kill()
    try {
      await expect.poll(async () => (await sandbox.info()).status).toBe('error')
      expect((await sandbox.info()).error).toContain('cannot be reached')
      expect(processesOf(uid)).toEqual([])
      await expect(sandbox.run('true')).rejects.toThrow('error')
      expect(await sandbox.files.readText('died')).toBe('before it died\n')
      await expect(sandbox.start()).rejects.toThrow('cannot be reached')
    } finally {
      await engine.start()
    }
    await sandbox.start()
    expect((await sandbox.run('cat died')).stdout).toBe('before it died\n')
    expect(await engine.containers()).toHaveLength(1)
  })

  it('is restarted, the sandbox is an error or runs on, and starts again with all that it wrote', async () => {
    await sandbox.run('echo before it was restarted > restarted')
    await engine.restart()
    await expect.poll(async () => (await sandbox.info()).status).toBe('error')
    await sandbox.start()
    expect((await sandbox.run('cat restarted')).stdout).toBe('before it was restarted\n')
    expect(await engine.containers()).toHaveLength(1)
  })

  it('dies while a container is made, nothing of that is left when it is back', async () => {
    await sandbox.stop()
    const starting = sandbox.start().then(
      () => 'started',
      () => 'failed',
    )
    await expect.poll(async () => (await engine.containers()).length).toBe(1)
    await engine.kill()
    await starting
    await engine.start()
    await expect.poll(async () => (await sandbox.info()).status).toBe('error')
    await sandbox.start()
    expect((await sandbox.run('cat died')).stdout).toBe('before it died\n')
    expect(await engine.containers()).toHaveLength(1)
  })
})
