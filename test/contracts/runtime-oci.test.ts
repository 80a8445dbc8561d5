import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openShell } from '../../runtimes/agent/shell.ts'
import { createOciRuntime } from '../../runtimes/oci/runtime.ts'
import { ENV, readUntil, runToEnd, sh } from '../fixtures/agent-alone.ts'
import { type EngineInstance, startEngine } from '../fixtures/engines/engine.ts'
import { busyboxImage, programImage } from '../fixtures/engines/images.ts'
import { type OciHouse, openOciHouse } from '../fixtures/engines/oci-house.ts'
import { has, needs } from '../needs.ts'

describe.each(['docker', 'podman'] as const)('the %s runtime', (name) => {
  let engine: EngineInstance
  let image: string
  let house: OciHouse

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

  it('runs commands on the view, as a user whose files they are outside', async () => {
    const { agent } = await house.launch()
    writeFileSync(join(house.viewPath, 'in'), 'from outside')
    const { stdout, code } = await runToEnd(
      agent,
      {
        argv: ['sh', '-c', 'cat in; id -u; id -G; echo made > out; hostname; cat; exit 7'],
        cwd: '/workspace',
      },
      Buffer.from('typed'),
    )
    const { hostUid } = house.spec
    expect(stdout.toString()).toBe(`from outside${hostUid}\n${hostUid}\ncroft-box\ntyped`)
    expect(code).toBe(7)
    expect(readFileSync(join(house.viewPath, 'out'), 'utf8')).toBe('made\n')
    expect(statSync(join(house.viewPath, 'out'))).toMatchObject({ uid: hostUid, gid: hostUid })
  })

  it('keeps stdout and stderr apart, passes signals on, and says which one ended a command', async () => {
    const { agent } = await house.launch()
    const both = await sh(agent, 'echo out; echo err >&2')
    expect([both.stdout.toString(), both.stderr.toString()]).toEqual(['out\n', 'err\n'])
    const trapping = await agent.spawn({
      argv: ['sh', '-c', 'trap "echo heard; exit 3" USR1; echo up; while :; do sleep 1; done'],
      env: ENV,
      cwd: '/',
    })
    await readUntil(trapping, 'up')
    trapping.signal(10, 'group')
    await readUntil(trapping, 'heard')
    expect((await trapping.exited).code).toBe(3)
    const asleep = await agent.spawn({ argv: ['sleep', '600'], env: ENV, cwd: '/' })
    asleep.signal(9, 'tree')
    expect((await asleep.exited).signal).toBe(9)
  })

  it('keeps a shell, and gives a terminal', async () => {
    const { agent } = await house.launch()
    const shell = await openShell(agent, { shell: 'sh', env: ENV, cwd: '/workspace' })
    let out = ''
    await shell.run('mkdir d; cd d')
    await shell.run('pwd', {
      onStdout: (data) => {
        out += data.toString()
      },
    })
    expect(out).toBe('/workspace/d\n')
    await shell.close()
    const terminal = await runToEnd(agent, { argv: ['stty', 'size'], terminal: { rows: 30, columns: 100 } })
    expect(terminal.stdout.toString()).toBe('30 100\r\n')
  })

  it('has no network but its own loop-back, on which the agent takes and makes connections', async () => {
    const { agent } = await house.launch({ network: { mode: 'allow-list', allow: ['example.org'] } })
    expect((await sh(agent, 'ls /sys/class/net; cat /etc/hosts')).stdout.toString()).toMatch(
      /^lo\n127\.0\.0\.1 localhost croft-box\n/,
    )
    const came = new Promise<string>((resolve) => {
      void agent.listen({
        port: 3128,
        maxConnections: 4,
        onConnection: (stream) => {
          stream.on('error', () => undefined)
          stream.end('from the server')
          resolve(text(stream))
        },
      })
    })
    const said = await sh(agent, 'echo from inside | nc 127.0.0.1 3128')
    expect([said.stdout.toString(), await came]).toEqual(['from the server', 'from inside\n'])
  })

  it('counts what it uses, and ends what takes more memory than it may', async () => {
    const { agent, stats } = await house.launch({ limits: { memoryBytes: 64 << 20 } })
    // What a shell reads into a variable is memory of its own.
    const glutton = await sh(agent, 'x=$(dd if=/dev/zero bs=1M count=200 2>/dev/null | tr "\\0" x); echo ${#x}')
    expect(glutton.stdout.toString()).not.toContain('209715200')
    const { memoryPeakBytes, oomKills } = await stats()
    expect(oomKills).toBeGreaterThan(0)
    expect(memoryPeakBytes).toBeLessThanOrEqual(64 << 20)
    await expect.poll(async () => (await stats()).pids).toBe(0)
    expect((await sh(agent, 'echo fine')).stdout.toString()).toBe('fine\n')
  })

  it('lives on when everything in it that can be written to is full', async () => {
    const { agent, stats } = await house.launch({ limits: { memoryBytes: 64 << 20 } })
    const places = ['/tmp', '/dev/shm', '/run', '/var/tmp', '/home/croft']
    const filled = await sh(agent, places.map((place) => `dd if=/dev/zero bs=1M count=100 of=${place}/full`).join(';'))
    expect(filled.stderr.toString().match(/No space left/g)).toHaveLength(places.length)
    expect((await stats()).oomKills).toBe(0)
    expect((await sh(agent, 'echo fine')).stdout.toString()).toBe('fine\n')
  })

  it('holds processes, descriptors, sizes of files and the processor to the limits', async () => {
    const limits = { pids: 3, openFiles: 100, fileBytes: 8192, tmpBytes: 1 << 20, cpuQuotaUs: 50_000, cpuShares: 512 }
    const { agent, pid } = await house.launch({ limits })
    const told = await sh(agent, 'ulimit -n; ulimit -f; df -k /tmp')
    expect(told.stdout.toString()).toMatch(/^100\n16\n[^\n]*\ntmpfs +1024 /)
    const held = await Promise.all([1, 2, 3].map(() => agent.spawn({ argv: ['cat'], env: ENV, cwd: '/', stdin: true })))
    await expect(agent.spawn({ argv: ['true'], env: ENV, cwd: '/' })).rejects.toMatchObject({ errno: 'EAGAIN' })
    for (const one of held) one.stdin?.end()
    await Promise.all(held.map((one) => one.exited))
    const [container] = await engine.containers()
    const { HostConfig } = await engine.docker.getContainer(container?.Id ?? '').inspect()
    expect(HostConfig).toMatchObject({ CpuQuota: 50_000, CpuShares: 512, PidsLimit: 4 })
    expect(pid).toBeGreaterThan(1)
  })

  it('ends every process when it is stopped, and no container is left', async () => {
    const { agent, stop, ended } = await house.launch()
    const daemon = await agent.spawn({
      argv: ['sh', '-c', '(trap "" 1 2 15; echo up; sleep 600) & wait'],
      env: ENV,
      cwd: '/',
    })
    await readUntil(daemon, 'up')
    expect(processesOf(house.spec.hostUid).length).toBeGreaterThan(2)
    await stop()
    expect(processesOf(house.spec.hostUid)).toEqual([])
    expect(await engine.containers()).toEqual([])
    expect((await agent.closed)?.code).toBe('closed')
    expect((await ended).message).not.toBe('')
    await stop()
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

  it.each([
    ['network', { network: { mode: 'full' as const } }, 'unsupported'],
    ['workspace', { workspace: '/usr/lib' }, 'failed'],
    ['limits.pids', { limits: { pids: 0 } }, 'failed'],
  ])('refuses a %s that it cannot give', async (field, change, code) => {
    await expect(house.launch(change)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(field) as string,
    })
  })

  it('leaves nothing of a launch that fails or is aborted', async () => {
    await expect(house.launch({ viewPath: '/no/such/view' })).rejects.toMatchObject({ code: 'failed' })
    const reason = new Error('changed my mind')
    const abort = new AbortController()
    const launching = house.runtime.launch(house.spec, abort.signal)
    setImmediate(() => abort.abort(reason))
    await expect(launching).rejects.toBe(reason)
    expect(await engine.containers()).toEqual([])
    expect(processesOf(house.spec.hostUid)).toEqual([])
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
})

function processesOf(uid: number): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name) || !existsSync(`/proc/${name}`)) return false
    try {
      const status = readFileSync(`/proc/${name}/status`, 'utf8')
      return new RegExp(`^Uid:\\s+${uid}\\b`, 'm').test(status) && !/^State:\s+Z/m.test(status)
    } catch (error) {
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
      throw error
    }
  })
}
