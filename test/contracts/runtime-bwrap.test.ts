import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createBwrapRuntime } from '../../runtimes/bwrap/runtime.ts'
import { createRuntimes } from '../../runtimes/registry.ts'
import { ENV, runToEnd, sh } from '../fixtures/agent-alone.ts'
import { openBwrapHouse } from '../fixtures/bwrap-sandbox.ts'
import type { RuntimeHouse } from '../fixtures/runtime-house.ts'
import { needs } from '../needs.ts'

let house: RuntimeHouse

beforeEach(async (context) => {
  await needs(context, 'bwrap')
  house = openBwrapHouse()
})

afterEach(() => house?.dispose())

describe('the bwrap runtime', () => {
  it('is found by name, and says that it can and what', async () => {
    const stateDir = join(house.spec.scratchDir, 'other')
    const engine = { socketPath: '/no/engine.sock', stateDir }
    const runtime = createRuntimes({ bwrap: { stateDir }, docker: engine, podman: engine }).get('bwrap')
    const probe = await runtime?.probe()
    expect(probe).toMatchObject({ available: true, version: expect.stringMatching(/^\d+\.\d+/) as string })
    expect(probe?.capabilities).toMatchObject({
      terminal: true,
      networkOff: true,
      networkAllowList: true,
      image: false,
    })
    // Nothing of the trial stays but what every sandbox shares.
    expect(readdirSync(stateDir).filter((name) => !name.startsWith('made-'))).toEqual([])
  })

  it('says why it cannot, and what would mend it', async () => {
    const stateDir = join(house.spec.scratchDir, 'state')
    expect(await createBwrapRuntime({ stateDir, bwrapPath: '/no/bwrap' }).probe()).toMatchObject({
      available: false,
      reason: expect.stringContaining('apt-get install bubblewrap') as string,
      capabilities: { terminal: false, networkOff: false },
    })
    const unbuilt = await createBwrapRuntime({ stateDir, agentPath: '/no/agent' }).probe()
    expect(unbuilt).toMatchObject({ available: false, reason: expect.stringContaining('/no/agent') as string })
    const broken = await createBwrapRuntime({ stateDir, bwrapPath: '/bin/false' }).probe()
    expect(broken.available).toBe(false)
  })

  it('has the tools of /usr, a home, a /tmp of its size and a terminal', async () => {
    const { agent } = await house.launch({ limits: { tmpBytes: 1 << 20 } })
    const script =
      'node -p 1+1 && git --version >/dev/null && touch ~/x /tmp/x /var/tmp/y /run/z /dev/shm/s && df -k --output=size /tmp | tail -1 && getent passwd croft'
    const { stdout } = await runToEnd(agent, { argv: ['sh', '-c', script], env: { ...ENV, HOME: '/home/croft' } })
    expect(stdout.toString()).toMatch(/^2\n\s*1024\ncroft:x:1000:1000:/)
    const full = await sh(agent, 'head -c 2000000 /dev/zero > /tmp/big')
    expect(full.stderr.toString()).toContain('No space left')
    const terminal = await runToEnd(agent, {
      argv: ['sh', '-c', 'tty; stty size'],
      terminal: { rows: 30, columns: 100 },
    })
    expect(terminal.stdout.toString()).toBe('/dev/pts/0\r\n30 100\r\n')
  })

  it('waits for a view that is mounted later, and leaves nothing where that fails', async () => {
    const mounted = new Promise<void>((resolve) => setImmediate(resolve))
    const { agent } = await house.launch({ mounted })
    expect((await sh(agent, 'echo inside')).stdout.toString()).toBe('inside\n')
    const refused = { ...house.spec, sandboxId: 'sb_unmounted', mounted: Promise.reject(new Error('no view')) }
    await expect(house.runtime.launch(refused)).rejects.toThrow('no view')
    expect(groupsOf(house.spec.instance).filter((path) => path.endsWith('sb_unmounted'))).toEqual([])
  })

  it('leaves no process behind when the server is killed', async () => {
    const program = fileURLToPath(new URL('../fixtures/bwrap-server.mjs', import.meta.url))
    const server = spawn(process.execPath, [program, JSON.stringify({ ...house.spec, sandboxId: 'sb_orphan' })], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const pid = Number(
      await new Promise<string>((resolve) => server.stdout.once('data', (data: Buffer) => resolve(data.toString()))),
    )
    const init = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'))
    const { ended, wait } = watchPid(init)
    server.kill('SIGKILL')
    await wait
    expect(ended()).toBe(true)
    // Its group is what the next server removes.
    await house.runtime.reap({ instance: house.spec.instance, sandboxIds: ['sb_orphan', 'sb_never'] })
    expect(groupsOf(house.spec.instance)).toEqual([])
  })
})

describe('the descriptors of a process in a bwrap sandbox', () => {
  it('are as many as this process may have where no limit is given', async () => {
    const { agent } = await house.launch()
    const { stdout } = await runToEnd(agent, { argv: ['sh', '-c', 'ulimit -Hn'], cwd: '/' })
    expect(stdout.toString()).toBe(execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }))
  })
})

describe('the limits of a bwrap sandbox', () => {
  beforeEach((context) => needs(context, 'control-groups'))

  it('are written to the group before anything runs', async () => {
    const { pid } = await house.launch({
      limits: { memoryBytes: 128 << 20, pids: 50, cpuQuotaUs: 50_000, cpuShares: 512 },
    })
    const membership = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
    expect(membership).toContain(`/croft-${house.spec.instance}-sb_1`)
  })

  it('go with the sandbox', async () => {
    const { stop } = await house.launch({ limits: { pids: 50 } })
    expect(groupsOf(house.spec.instance)).not.toEqual([])
    await stop()
    expect(groupsOf(house.spec.instance)).toEqual([])
  })
})

function groupsOf(instance: string): string[] {
  return execFileSync('find', ['/sys/fs/cgroup', '-type', 'd', '-name', `croft-${instance}-*`])
    .toString()
    .split('\n')
    .filter(Boolean)
}

/** `tail` waits for a process that is not its child by the kernel's notice. */
function watchPid(pid: number): { ended: () => boolean; wait: Promise<unknown> } {
  const waiting = spawn('tail', ['--pid', String(pid), '-f', '/dev/null'], { stdio: 'ignore' })
  const gone = () => {
    if (!existsSync(`/proc/${pid}/stat`)) return true
    return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  }
  return { ended: gone, wait: new Promise((resolve) => waiting.once('exit', resolve)) }
}
