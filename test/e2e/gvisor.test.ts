import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Sandbox, Server } from '../../sdk/index.ts'
import { type EngineInstance, startEngine } from '../fixtures/engines/engine.ts'
import { busyboxImage } from '../fixtures/engines/images.ts'
import { type PrivateUser, privateUser, useEnvironment } from '../fixtures/private-user.ts'
import { has, needs } from '../needs.ts'

describe('a sandbox behind gVisor', () => {
  let engine: EngineInstance
  let image: string
  let user: PrivateUser
  let server: Server
  let project: string
  let restoreEnvironment: () => void

  beforeAll(async () => {
    if (!(await has('runsc', 'fuse'))) return
    engine = await startEngine('docker', { runsc: true })
    image = await busyboxImage(engine)
    user = privateUser()
    restoreEnvironment = useEnvironment({ ...user.env, CROFT_DOCKER_SOCKET: engine.socketPath })
    project = mkdtempSync(join(tmpdir(), 'croft-project-'))
    mkdirSync(join(project, 'secret'))
    writeFileSync(join(project, 'README'), 'original\n')
    writeFileSync(join(project, 'fixed'), 'fixed\n')
    writeFileSync(join(project, 'secret/key'), 'hidden\n')
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
  beforeEach((context) => needs(context, 'runsc', 'fuse'))

  test('has the view with its rules, whose files gVisor opens as root, and a delta that outlives it', async () => {
    const permissions = { '/**': 'write', '/fixed': 'read', '/secret/**': 'none', '/secret': 'none' } as const
    const sandbox = await Sandbox.fromLocal(project, { server, runtime: 'gvisor', image, permissions })
    try {
      const { stdout } = await sandbox.run(
        'cat README; ls; echo changed > README; mkdir d; echo x > d/y; mv d e; cat e/y',
      )
      expect(stdout).toBe('original\nREADME\nfixed\nx\n')
      const tried = await sandbox.run('cat secret/key; echo no > fixed; rm -f fixed; mv fixed other; cat fixed')
      expect(tried.stdout).toBe('fixed\n')
      expect(tried.stderr).not.toContain('hidden')
      await sandbox.files.write('/from-outside', 'late\n')
      expect((await sandbox.run('cat from-outside')).stdout).toBe('late\n')
      await sandbox.stop()
      await sandbox.start()
      expect((await sandbox.run('cat README e/y')).stdout).toBe('changed\nx\n')
    } finally {
      await sandbox.kill()
    }
    expect(await engine.containers()).toEqual([])
  })

  test('has what its kernel cannot give refused by name', async () => {
    const limited = Sandbox.fromLocal(project, { server, runtime: 'gvisor', image, resources: { pids: 10 } })
    await expect(limited).rejects.toThrow('resources.pids_limit')
    await using sandbox = await Sandbox.fromLocal(project, { server, runtime: 'gvisor', image })
    const pty = sandbox.pty({ command: ['/bin/sh'] })
    await expect(pty[Symbol.asyncIterator]().next()).rejects.toThrow('no terminals')
  })
})
