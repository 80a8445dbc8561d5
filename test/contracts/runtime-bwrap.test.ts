import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openShell } from '../../runtimes/agent/shell.ts'
import { createBwrapRuntime } from '../../runtimes/bwrap/runtime.ts'
import { createRuntimes } from '../../runtimes/registry.ts'
import { ENV, readUntil, runToEnd, sh } from '../fixtures/agent-alone.ts'
import { type BwrapHouse, openBwrapHouse } from '../fixtures/bwrap-sandbox.ts'
import { needs } from '../needs.ts'

let house: BwrapHouse

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

  it('runs commands on the view, as a user whose files they are outside', async () => {
    const { agent } = await house.launch()
    writeFileSync(join(house.viewPath, 'in'), 'from outside')
    const { stdout } = await runToEnd(agent, {
      argv: ['sh', '-c', 'cat in; id -un; echo made > out; hostname'],
      cwd: '/workspace',
    })
    expect(stdout.toString()).toBe('from outsidecroft\ncroft-box\n')
    expect(readFileSync(join(house.viewPath, 'out'), 'utf8')).toBe('made\n')
    expect(statSync(join(house.viewPath, 'out'))).toMatchObject({ uid: house.spec.hostUid, gid: house.spec.hostGid })
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

  it('keeps a shell', async () => {
    const { agent } = await house.launch()
    const shell = await openShell(agent, { shell: 'bash', env: ENV, cwd: '/workspace' })
    let out = ''
    await shell.run('mkdir d; cd d')
    await shell.run('pwd', {
      onStdout: (data) => {
        out += data.toString()
      },
    })
    expect(out).toBe('/workspace/d\n')
    await shell.close()
  })

  it('ends every process when it is stopped, daemons that ignore signals included', async () => {
    const { agent, stop, ended } = await house.launch()
    const script =
      'import os,signal,time\nif os.fork()==0:\n os.setsid()\n if os.fork()==0:\n  [signal.signal(s,signal.SIG_IGN) for s in (1,2,15)]\n  print("up",flush=True)\n  time.sleep(600)\n os._exit(0)'
    const daemon = await agent.spawn({ argv: ['python3', '-c', script], env: ENV, cwd: '/' })
    await readUntil(daemon, 'up')
    expect(processesOf(house.spec.hostUid).length).toBeGreaterThan(2)
    await stop()
    expect(processesOf(house.spec.hostUid)).toEqual([])
    expect((await agent.closed)?.code).toBe('closed')
    expect((await ended).message).not.toBe('')
    await stop()
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

  it('leaves nothing of a launch that fails, and says what bubblewrap said', async () => {
    await expect(house.launch({ viewPath: '/no/such/view' })).rejects.toMatchObject({
      code: 'failed',
      message: expect.stringContaining('/no/such/view') as string,
    })
    expect(processesOf(house.spec.hostUid)).toEqual([])
    expect(groupsOf(house.spec.instance)).toEqual([])
  })

  it('leaves nothing of a launch that is aborted', async () => {
    const reason = new Error('changed my mind')
    await expect(house.runtime.launch(house.spec, AbortSignal.abort(reason))).rejects.toBe(reason)
    const abort = new AbortController()
    const launching = house.runtime.launch(house.spec, abort.signal)
    setImmediate(() => abort.abort(reason))
    await expect(launching).rejects.toBe(reason)
    expect(processesOf(house.spec.hostUid)).toEqual([])
    expect(groupsOf(house.spec.instance)).toEqual([])
  })

  it.each([
    ['sandboxId', { sandboxId: '../x' }],
    ['instance', { instance: 'a/b' }],
    ['hostname', { hostname: 'a b' }],
    ['viewPath', { viewPath: 'relative' }],
    ['workspace', { workspace: '/usr/lib' }],
    ['workspace', { workspace: '/workspace/../etc' }],
    ['workspace', { workspace: '/' }],
    ['hostUid', { hostUid: -1 }],
    ['limits.memoryBytes', { limits: { memoryBytes: (16 << 20) - 1 } }],
    ['limits.cpuQuotaUs', { limits: { cpuQuotaUs: 999 } }],
    ['limits.cpuShares', { limits: { cpuShares: 262_145 } }],
    ['limits.pids', { limits: { pids: 0 } }],
    ['limits.tmpBytes', { limits: { tmpBytes: 0.5 } }],
    ['limits.openFiles', { limits: { openFiles: 63 } }],
  ])('refuses a bad %s by its name', async (field, change) => {
    await expect(house.launch(change)).rejects.toMatchObject({
      code: 'failed',
      message: expect.stringContaining(field) as string,
    })
  })

  it.each([['image', { image: 'debian' }]])('refuses %s, which it cannot give', async (field, change) => {
    await expect(house.launch(change)).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining(field) as string,
    })
  })
})

describe('the descriptors of a process in a bwrap sandbox', () => {
  it('are as many as the limit says, and one more is EMFILE, however it asks', async (context) => {
    await needs(context, 'python3')
    const { agent } = await house.launch({ limits: { openFiles: 100 } })
    const script = [
      'import errno, os, resource',
      'print(resource.getrlimit(resource.RLIMIT_NOFILE))',
      'try: resource.setrlimit(resource.RLIMIT_NOFILE, (101, 101))',
      'except ValueError: print("refused")',
      'try:',
      '  while True: last = os.open("/dev/null", os.O_RDONLY)',
      'except OSError as error: print(last, errno.errorcode[error.errno])',
    ]
    const { stdout } = await runToEnd(agent, { argv: ['python3', '-c', script.join('\n')], cwd: '/' })
    expect(stdout.toString()).toBe('(100, 100)\nrefused\n99 EMFILE\n')
  })

  it('are as many as this process may have where no limit is given', async () => {
    const { agent } = await house.launch()
    const { stdout } = await runToEnd(agent, { argv: ['sh', '-c', 'ulimit -Hn'], cwd: '/' })
    expect(stdout.toString()).toBe(execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }))
  })
})

describe('the limits of a bwrap sandbox', () => {
  beforeEach((context) => needs(context, 'control-groups'))

  it('end what takes more memory, and the sandbox lives on', async () => {
    const { agent, stats, oomKills: killsNow } = await house.launch({ limits: { memoryBytes: 64 << 20 } })
    expect(killsNow()).toBe(0)
    const glutton = await runToEnd(agent, { argv: ['python3', '-c', 'x = bytearray(200 << 20)'] })
    expect(glutton.signal).toBe(9)
    const { memoryPeakBytes, oomKills } = await stats()
    expect([oomKills, killsNow()]).toEqual([1, 1])
    expect(memoryPeakBytes).toBeLessThanOrEqual(64 << 20)
    expect((await sh(agent, 'echo fine')).stdout.toString()).toBe('fine\n')
  })

  it('leave the sandbox alive when everything in it that can be written to is full', async () => {
    const { agent, stats } = await house.launch({ limits: { memoryBytes: 64 << 20 } })
    const places = ['/tmp', '/dev/shm', '/run', '/home/croft']
    const filled = await sh(agent, places.map((place) => `head -c 100000000 /dev/zero > ${place}/full`).join(';'))
    expect(filled.stderr.toString().match(/No space left/g)).toHaveLength(places.length)
    expect((await stats()).oomKills).toBe(0)
    expect((await sh(agent, 'echo fine')).stdout.toString()).toBe('fine\n')
  })

  it('stop a fork bomb at the number that was set, and it all ends with the sandbox', async () => {
    const { agent, stats, stop } = await house.launch({ limits: { pids: 20 } })
    const bomb = await agent.spawn({ argv: ['sh', '-c', 'f() { f & f & wait; }; f; sleep 600'], env: ENV, cwd: '/' })
    for await (const piece of bomb.stderr) if (String(piece).includes('fork')) break
    expect((await stats()).pids).toBeLessThanOrEqual(20)
    await stop()
    expect(processesOf(house.spec.hostUid)).toEqual([])
  })

  it('let exactly that many processes run', async () => {
    const { agent } = await house.launch({ limits: { pids: 3 } })
    const held = await Promise.all([1, 2, 3].map(() => agent.spawn({ argv: ['cat'], env: ENV, cwd: '/', stdin: true })))
    await expect(agent.spawn({ argv: ['true'], env: ENV, cwd: '/' })).rejects.toMatchObject({
      code: 'spawn',
      errno: 'EAGAIN',
    })
    for (const one of held) one.stdin?.end()
    await Promise.all(held.map((one) => one.exited))
  })

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

function processesOf(uid: number): string[] {
  // As root only: another user's processes are not all of one sandbox.
  if (process.getuid?.() !== 0) return []
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
