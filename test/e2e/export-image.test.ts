import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type Docker from 'dockerode'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Sandbox, Server } from '../../sdk/index.ts'
import { collect } from '../fixtures/collect.ts'
import { type EngineInstance, startEngine } from '../fixtures/engines/engine.ts'
import { busyboxImage } from '../fixtures/engines/images.ts'
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

  test('is put on another, as the engine saves it, and keeps what that says', async () => {
    const { docker } = engine as EngineInstance
    await busyboxImage(engine as EngineInstance, ['ENV FROM_BASE=kept', 'CMD ["/bin/cat", "/srv/app/said"]']).then(
      (id) => docker.getImage(id).tag({ repo: 'localhost/base', tag: '1' }),
    )
    const saved = await docker.getImage('localhost/base:1').get()
    const image = sandbox.export({
      format: 'oci-image',
      image: {
        reference: 'localhost/croft/app:on-base',
        base: saved as unknown as AsyncIterable<Uint8Array>,
        directory: '/srv',
        command: ['/bin/sh', '-c', 'echo $FROM_BASE; cat /srv/app/said'],
      },
    })
    const bytes = Buffer.concat(await collect(image))
    await docker.loadImage(Readable.from([bytes])).then(text)
    expect(await run(docker, 'localhost/croft/app:on-base')).toBe('kept\nfrom the sandbox\n')

    // What is saved again, and what was sent, is imported as the same files.
    const imported = await server.importArchive(Readable.from([bytes]), { name: 'image', format: 'oci-image' })
    await using again = await Sandbox.create({ server, codebase: imported.codebaseId, preset: 'read-only' })
    expect((await again.run('cat srv/app/said; ls bin/busybox')).stdout).toBe('from the sandbox\nbin/busybox\n')
  })
})

/** What it says on stdout and stderr. */
async function run(docker: Docker, image: string): Promise<string> {
  const container = await docker.createContainer({ Image: image, HostConfig: { NetworkMode: 'none' }, Tty: true })
  try {
    await container.start()
    await container.wait()
    return (await container.logs({ stdout: true, stderr: true })).toString().replaceAll('\r', '')
  } finally {
    await container.remove({ force: true })
  }
}
