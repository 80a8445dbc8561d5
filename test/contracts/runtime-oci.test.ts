import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createOciRuntime } from '../../runtimes/oci/runtime.ts'
import { ENV, runToEnd, sh } from '../fixtures/agent-alone.ts'
import { type EngineInstance, startEngine } from '../fixtures/engines/engine.ts'
import { busyboxImage, programImage } from '../fixtures/engines/images.ts'
import { openOciHouse } from '../fixtures/engines/oci-house.ts'
import { processesOf } from '../fixtures/processes-of.ts'
import type { RuntimeHouse } from '../fixtures/runtime-house.ts'
import { has, needs } from '../needs.ts'

describe.each(['docker', 'podman'] as const)('the %s runtime', (name) => {
  let engine: EngineInstance
  let image: string
  let house: RuntimeHouse

  beforeAll(async () => {
    if (!(await has(name))) return
    engine = await startEngine(name)
    image = await busyboxImage(engine)
  })
  afterAll(() => engine?.[Symbol.asyncDispose]())

  beforeEach(async (context) => {
    await needs(context, name)
    house = openOciHouse(engine, image)
  })
  afterEach(() => house?.dispose())

  it('says that it can and what, and leaves nothing of the trial', async () => {
    const before = await engine.images()
    const probe = await house.runtime.probe()
    expect(probe).toMatchObject({ available: true, version: expect.stringMatching(/^\d+\.\d+/) as string })
    expect(probe.capabilities).toMatchObject({ image: true, terminal: true, networkOff: true, networkFull: false })
    expect(await engine.containers()).toEqual([])
    const after = await engine.images()
    expect(after).toHaveLength(before.length)
    expect(readdirSync(join(house.spec.scratchDir, 'state'))).toEqual([])
  })

  it('says why it cannot, and what would mend it', async () => {
    const stateDir = join(house.spec.scratchDir, 'other')
    const probe = await createOciRuntime({ name, socketPath: '/no/engine.sock', stateDir }).probe()
    expect(probe).toMatchObject({ available: false, capabilities: { image: false, terminal: false } })
    expect(probe.reason).toContain('/no/engine.sock')
    expect(probe.reason).toContain('apt-get install')
    expect(probe.reason).toContain(`${name}.socket`)
  })

  it('has the engine hold processes and the processor to the limits, its own process not counted', async () => {
    await house.launch({ limits: { pids: 3, cpuQuotaUs: 50_000, cpuShares: 512 } })
    const [container] = await engine.containers()
    const { HostConfig } = await engine.docker.getContainer(container?.Id ?? '').inspect()
    expect(HostConfig).toMatchObject({ CpuQuota: 50_000, CpuShares: 512, PidsLimit: 4 })
  })

  it('says when a container was ended by somebody else', async () => {
    const { ended } = await house.launch()
    const [container] = await engine.containers()
    await engine.docker.getContainer(container?.Id ?? '').kill()
    expect((await ended).message).toContain('137')
  })

  it('takes an image as it is: its user and entry point are ignored, its variables kept', async () => {
    const opinionated = await busyboxImage(engine, [
      'USER app',
      'ENTRYPOINT ["/bin/false"]',
      'WORKDIR /not/there',
      'ENV PATH=/bin',
      'ENV GREETING=hello',
      'VOLUME /open',
    ])
    const { agent, env } = await house.launch({ image: opinionated })
    expect(env).toMatchObject({ PATH: '/bin', GREETING: 'hello' })
    const { stdout, stderr } = await sh(agent, 'id -u; pwd; touch /open/x && df -k /open | tail -1; touch /x')
    expect(stdout.toString()).toMatch(new RegExp(`^${house.spec.hostUid}\n/\ntmpfs +16384 `))
    expect(stderr.toString()).toContain('Read-only file system')
  })

  it('takes an image that has no shell, no library and no directory of the usual ones', async () => {
    const { agent } = await house.launch({ image: await programImage(engine) })
    await expect(agent.spawn({ argv: ['/bin/sh'], env: ENV, cwd: '/' })).rejects.toMatchObject({ errno: 'ENOENT' })
    const { stdout } = await runToEnd(agent, { argv: ['/busybox', 'ls', '/'], cwd: '/workspace' })
    expect(stdout.toString().split('\n')).toEqual(expect.arrayContaining(['busybox', 'tmp', 'workspace']))
  })

  it('names an image that is not there, with the line that brings it', async () => {
    await expect(house.launch({ image: 'localhost/none:1' })).rejects.toMatchObject({
      code: 'image',
      message: expect.stringContaining(`${name} pull localhost/none:1`) as string,
    })
    const { image: _, ...imageless } = house.spec
    await expect(house.runtime.launch(imageless)).rejects.toMatchObject({ code: 'image' })
    expect(await engine.containers()).toEqual([])
  })

  it('removes what an earlier server left, and nothing else', async () => {
    const { instance } = house.spec
    const { ended } = await house.launchOnly({ sandboxId: 'sb_orphan' })
    const [orphan] = await engine.containers()
    const foreign = await Promise.all(
      [{}, { 'croft.instance': 'another', 'croft.sandbox': 'sb_orphan' }, { 'croft.instance': instance }].map(
        (Labels) =>
          engine.docker.createContainer({
            Image: image,
            Cmd: ['/bin/true'],
            Labels,
            HostConfig: { NetworkMode: 'none' },
          }),
      ),
    )
    await house.runtime.reap({ instance, sandboxIds: ['sb_orphan', 'sb_never'] })
    await ended
    const left = (await engine.containers()).map(({ Id }) => Id)
    expect(left).not.toContain(orphan?.Id)
    expect(left.toSorted()).toEqual(foreign.map(({ id }) => id).toSorted())
    for (const container of foreign) await container.remove()
  })

  it('ends a sandbox whose engine dies, and removes its container when that is back', async () => {
    const { agent, ended, stop } = await house.launch()
    await engine.kill()
    expect((await ended).message).toContain('cannot be reached')
    await stop()
    expect(processesOf(house.spec.hostUid)).toEqual([])
    expect((await agent.closed)?.code).toBe('closed')
    await expect(house.launch()).rejects.toMatchObject({ code: 'unavailable' })
    await engine.start()
    const again = await house.launch()
    expect(await engine.containers()).toHaveLength(1)
    await again.stop()
  })

  it('waits for an engine that hangs no longer than the limits say', async () => {
    const impatient = openOciHouse(engine, image, { answerMs: 200, removeMs: 200 })
    const { stop } = await house.launch()
    engine.process.kill('SIGSTOP')
    try {
      await expect(impatient.launch()).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining('within 200 ms') as string,
      })
    } finally {
      engine.process.kill('SIGCONT')
    }
    await stop()
    await impatient.dispose()
  })

  it('ends a sandbox without an engine that hangs, and has its container removed when that is well again', async () => {
    const impatient = openOciHouse(engine, image, { noticeMs: 200, removeMs: 200 })
    const { stop } = await impatient.launch()
    engine.process.kill('SIGSTOP')
    try {
      await stop()
      expect(processesOf(impatient.spec.hostUid)).toEqual([])
    } finally {
      engine.process.kill('SIGCONT')
    }
    await expect.poll(async () => await impatient.launch().catch(() => undefined)).toBeDefined()
    await expect.poll(async () => (await engine.containers()).length).toBe(1)
    await impatient.dispose()
  })
})
