import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type Docker from 'dockerode'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Sandbox, Server } from '../../sdk/index.ts'
import { type EngineInstance, startEngine } from '../fixtures/engines/engine.ts'
import { type PrivateUser, privateUser, useEnvironment } from '../fixtures/private-user.ts'
import { has, needs } from '../needs.ts'

describe.each(['docker', 'podman'] as const)('an exported image in %s', (name) => {
  let engine: EngineInstance | undefined
  let user: PrivateUser
  let server: Server
  let sandbox: Sandbox
  let project: string
  let restoreEnvironment: () => void

  beforeAll(async () => {
    if (!(await has(name, 'fuse', 'bwrap'))) return
    engine = await startEngine(name)
    user = privateUser()
    restoreEnvironment = useEnvironment(user.env)
    project = mkdtempSync(join(tmpdir(), 'croft-project-'))
    mkdirSync(join(project, 'bin'))
    copyFileSync('/bin/busybox', join(project, 'bin/busybox'))
    symlinkSync('busybox', join(project, 'bin/sh'))
    writeFileSync(join(project, '.env'), 'TOKEN=secret\n')
    server = await Server.connect()
    sandbox = await Sandbox.fromLocal(project, { server, preset: 'development' })
    await sandbox.run('mkdir -p app && echo "from the sandbox" > app/said')
  })

  afterAll(async () => {
    if (engine === undefined) return
    await sandbox.kill()
    server.close()
    restoreEnvironment()
    await user[Symbol.asyncDispose]()
    rmSync(project, { recursive: true, force: true })
    await engine[Symbol.asyncDispose]()
  })

  beforeEach((context) => needs(context, name, 'fuse', 'bwrap'))

  test('is loaded under its name, and runs what it was told to', async () => {
    const { docker } = engine as EngineInstance
    const image = sandbox.export({
      format: 'oci-image',
      image: {
        reference: 'localhost/croft/app:1.2',
        command: ['-c', 'busybox cat said; echo $GREETING; busybox ls -a /'],
        entrypoint: ['/bin/sh'],
        environment: { GREETING: 'hello there', PATH: '/bin' },
        workingDirectory: '/app',
      },
    })
    const loaded = await docker.loadImage(Readable.from(image)).then(text)
    expect(loaded).toContain('localhost/croft/app:1.2')
    const said = await run(docker, 'localhost/croft/app:1.2')
    expect(said).toContain('from the sandbox\nhello there\n')
    expect(said).not.toContain('.env')
  })
})

/** What it says on stdout and stderr. */
async function run(docker: Docker, image: string): Promise<string> {
  const container = await docker.createContainer({ Image: image, HostConfig: { NetworkMode: 'none' }, Tty: true })
  try {
    const stream = await container.attach({ stream: true, stdout: true, stderr: true })
    const said = text(stream as unknown as AsyncIterable<Buffer>)
    await container.start()
    await container.wait()
    return (await said).replaceAll('\r', '')
  } finally {
    await container.remove({ force: true })
  }
}
