import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { runToEnd, sh } from '../fixtures/agent-alone.ts'
import { type EngineInstance, startEngine } from '../fixtures/engines/engine.ts'
import { busyboxImage, imageOf } from '../fixtures/engines/images.ts'
import { openOciHouse } from '../fixtures/engines/oci-house.ts'
import type { RuntimeHouse } from '../fixtures/runtime-house.ts'
import { has, lacks, needs } from '../needs.ts'

describe.each(['docker', 'podman'] as const)('a program in a container of %s', (name) => {
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

  it('has no capability, gets none, and runs behind the engine’s filter and ours', async () => {
    const { agent } = await house.launch()
    const status = (await sh(agent, 'cat /proc/self/status')).stdout.toString()
    for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb']) expect(status).toMatch(new RegExp(`Cap${set}:\\s+0+\\n`))
    expect(status).toMatch(/NoNewPrivs:\s+1/)
    expect(status).toMatch(/Seccomp:\s+2/)
    // A kernel before 5.10 does not count them.
    expect(status).toMatch(/Seccomp_filters:\s+[2-9]/)
    const tried = await sh(
      agent,
      'mount -t tmpfs x /tmp; mount -o remount,rw /; hostname other; kill -9 1; ulimit -c 5',
    )
    expect(tried.stderr.toString().match(/denied|not permitted|must be|are you root/gi)?.length).toBeGreaterThanOrEqual(
      2,
    )
    expect((await sh(agent, 'hostname')).stdout.toString()).toBe('croft-box\n')
  })

  it('sees of the host its view, the agent, and no socket of an engine', async () => {
    const { agent } = await house.launch()
    const mounts = (await sh(agent, 'cat /proc/self/mountinfo')).stdout.toString().split('\n').filter(Boolean)
    const targets = mounts.map((line) => line.split(' ')[4] ?? '')
    const ours = ['/.croft/agent', '/.croft/socket', '/etc/hosts', '/etc/resolv.conf', '/workspace']
    const memory = ['/', '/.croft', '/dev', '/home/croft', '/proc', '/run', '/sys', '/tmp', '/var/tmp']
    const engines = ['/etc/hostname', '/etc/passwd', '/etc/group', '/run/.containerenv', '/run/secrets']
    const unknown = targets.filter(
      (target) => ![...ours, ...memory, ...engines].includes(target) && !/^\/(dev|proc|sys)\//.test(target),
    )
    expect(unknown).toEqual([])
    expect((await sh(agent, 'touch /.croft/x')).stderr.toString()).toContain('ermission denied')
    const found = await sh(
      agent,
      'ls /run /var/run 2>/dev/null; for s in docker podman containerd; do ls -R / 2>/dev/null | head -5000 | grep "^$s.*sock"; done',
    )
    expect(found.stdout.toString()).not.toContain('.sock')
    // What of those is not in memory cannot be written to.
    const written = await sh(
      agent,
      'for p in /.croft/agent /etc/hosts /etc/resolv.conf /etc/hostname /etc/passwd /etc/group /open/x /x; do (echo x > $p) 2>/dev/null && echo $p; done',
    )
    expect(written.stdout.toString()).toBe('')
  })

  it('cannot speak as the agent, nor can anybody on the host once it has come', async () => {
    const { agent } = await house.launch()
    const tried = await sh(agent, 'nc local:/.croft/socket < /dev/null')
    expect(tried.code).not.toBe(0)
    const scratch = join(house.spec.scratchDir, '1')
    expect(readdirSync(scratch)).not.toContain('agent.sock')
    const outcome = new Promise((resolve) => {
      connect(join(scratch, 'agent.sock'))
        .once('connect', () => resolve('connected'))
        .once('error', (error) => resolve((error as NodeJS.ErrnoException).code))
    })
    expect(await outcome).toBe('ENOENT')
    // Its memory and descriptors are out of reach too.
    const reached = await sh(agent, 'ls /proc/1/fd /proc/1/cwd/ && echo reached; cat /proc/1/environ && echo read')
    expect(reached.stdout.toString()).not.toContain('rea')
  })

  it('gets no group from what the image says of its user', async () => {
    const { hostUid } = house.spec
    const planted = await imageOf(engine, [], (root) => {
      mkdirSync(join(root, 'etc'))
      writeFileSync(join(root, 'etc/passwd'), `root:x:0:0::/:/\nme:x:${hostUid}:0::/:/\n`)
      writeFileSync(join(root, 'etc/group'), `root:x:0:me\ndisk:x:6:me\nmine:x:${hostUid}:\n`)
      copyFileSync('/bin/busybox', join(root, 'busybox'))
    })
    const { agent } = await house.launch({ image: planted })
    const { stdout } = await runToEnd(agent, {
      argv: ['/busybox', 'grep', '-E', '^(Uid|Gid|Groups)', '/proc/self/status'],
    })
    const all = `\t${hostUid}`.repeat(4)
    expect(stdout.toString()).toMatch(new RegExp(`^Uid:${all}\nGid:${all}\nGroups:\t(${hostUid})? *\n$`))
  })

  it('meets no health check of the image, which would run beside the filter', async (context) => {
    if (name === 'podman') lacks(context, 'the import of an image with a health check')
    const checked = await busyboxImage(engine, ['HEALTHCHECK --interval=1s CMD touch /workspace/checked'])
    await house.launch({ image: checked })
    const [container] = await engine.containers()
    const { Config } = await engine.docker.getContainer(container?.Id ?? '').inspect()
    expect(Config.Healthcheck?.Test).toEqual(['NONE'])
  })
})
