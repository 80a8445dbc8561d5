import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openShell } from '../../runtimes/agent/shell.ts'
import { ENV, readUntil, runToEnd, sh } from '../fixtures/agent-alone.ts'
import { type EngineInstance, startEngine } from '../fixtures/engines/engine.ts'
import { busyboxImage } from '../fixtures/engines/images.ts'
import { openOciHouse } from '../fixtures/engines/oci-house.ts'
import type { RuntimeHouse } from '../fixtures/runtime-house.ts'
import { has, needs } from '../needs.ts'

/** What of the contract it has been held to; its kernel is slow, and not all of the host's abilities are its. */
describe('the gvisor runtime', () => {
  let engine: EngineInstance
  let image: string
  let house: RuntimeHouse

  beforeAll(async () => {
    if (!(await has('runsc'))) return
    engine = await startEngine('docker', { runsc: true })
    image = await busyboxImage(engine)
  })
  afterAll(() => engine?.[Symbol.asyncDispose]())
  beforeEach(async (context) => {
    await needs(context, 'runsc')
    house = openOciHouse(engine, image, {}, { name: 'gvisor' })
  })
  afterEach(() => house?.dispose())

  it('is tried by running, and has no limit of processes', async () => {
    const probe = await house.runtime.probe()
    expect(probe).toMatchObject({
      available: true,
      capabilities: { image: true, memoryLimit: true, pidsLimit: false, terminal: false },
    })
    expect(probe.version).toMatch(/^\d+\.\d+/)
    expect(probe.lacks?.pidsLimit).toContain('threads')
    await expect(house.launch({ limits: { pids: 10 } })).rejects.toMatchObject({ code: 'unsupported' })
    expect(await engine.containers()).toEqual([])
  })

  it('runs commands behind a kernel that is not the host’s, on the view, as the user whose files they are', async () => {
    const { agent } = await house.launch()
    writeFileSync(join(house.viewPath, 'in'), 'from outside\n')
    const { stdout, code } = await runToEnd(
      agent,
      { argv: ['sh', '-c', 'cat in; id -u; echo made > out; cat; cat /proc/version; exit 7'], cwd: '/workspace' },
      Buffer.from('typed\n'),
    )
    expect(stdout.toString()).toContain(`from outside\n${house.spec.hostUid}\ntyped\n`)
    expect(stdout.toString()).not.toContain(readFileSync('/proc/version', 'utf8').slice(0, 30))
    expect(code).toBe(7)
    expect(readFileSync(join(house.viewPath, 'out'), 'utf8')).toBe('made\n')
    writeFileSync(join(house.viewPath, 'in'), 'changed outside\n')
    expect((await sh(agent, 'cat /workspace/in')).stdout.toString()).toBe('changed outside\n')
  })

  it('passes signals on, keeps a shell, refuses a terminal, and filters system calls', async () => {
    const { agent } = await house.launch()
    const asleep = await agent.spawn({ argv: ['sleep', '600'], env: ENV, cwd: '/' })
    asleep.signal(15, 'process')
    expect((await asleep.exited).signal).toBe(15)
    const shell = await openShell(agent, { shell: 'sh', env: ENV, cwd: '/workspace' })
    await shell.run('x=kept')
    let out = ''
    await shell.run('echo $x', {
      onStdout: (data) => {
        out += data.toString()
      },
    })
    expect(out).toBe('kept\n')
    await shell.close()
    const terminal = agent.spawn({ argv: ['stty'], env: ENV, cwd: '/', terminal: { rows: 30, columns: 100 } })
    await expect(terminal).rejects.toMatchObject({ errno: 'ENOTTY', stage: 'setup' })
    expect((await sh(agent, 'mount -t tmpfs x /tmp || echo no')).stdout.toString()).toBe('no\n')
  })

  it('has no network but its own loop-back, on which the agent takes connections', async () => {
    const { agent } = await house.launch({ network: { mode: 'allow-list', allow: ['example.org'] } })
    const came = new Promise<string>((resolve) => {
      void agent.listen({
        ...{ port: 3128, maxConnections: 4 },
        onConnection: (stream) => {
          stream.on('error', () => undefined)
          // nc leaves at the end of the other side, whatever it has not sent yet.
          stream.once('data', (data: Buffer) => {
            stream.end('from the server')
            resolve(data.toString())
          })
        },
      })
    })
    const said = await sh(agent, 'echo from inside | nc 127.0.0.1 3128')
    expect([said.stdout.toString(), await came]).toEqual(['from the server', 'from inside\n'])
    const out = await sh(agent, 'nc -w 1 1.1.1.1 80 </dev/null; echo $?')
    expect(out.stdout.toString()).not.toBe('0\n')
  })

  it('holds descriptors, sizes of files and /tmp to the limits, counts what it uses, and ends when it is stopped', async () => {
    const limits = { openFiles: 100, fileBytes: 8192, tmpBytes: 1 << 20, memoryBytes: 256 << 20 }
    const { agent, stats, stop, ended } = await house.launch({ limits })
    expect((await sh(agent, 'ulimit -n; ulimit -f; df -k /tmp | tail -1')).stdout.toString()).toMatch(
      /^100\n16\nnone +1024 /,
    )
    const used = await stats()
    expect(used.memoryPeakBytes).toBeGreaterThan(0)
    expect(used).not.toHaveProperty('pids')
    const daemon = await agent.spawn({ argv: ['sh', '-c', 'trap "" 15; echo up; sleep 600'], env: ENV, cwd: '/' })
    await readUntil(daemon, 'up')
    await stop()
    expect(await engine.containers()).toEqual([])
    expect((await ended).message).not.toBe('')
  })

  it('says how it is registered where the engine does not know it', async () => {
    const bare = await startEngine('docker')
    try {
      const other = openOciHouse(bare, image, {}, { name: 'gvisor' })
      const probe = await other.runtime.probe()
      await other.dispose()
      expect(probe).toMatchObject({ available: false })
      expect(probe.reason).toContain('"--host-uds=open"')
      expect(probe.reason).toContain('/etc/docker/daemon.json')
      expect(probe.remedy).toMatch(/^apt-get install -y runsc; .*systemctl restart docker$/)
    } finally {
      await bare[Symbol.asyncDispose]()
    }
  })
})
