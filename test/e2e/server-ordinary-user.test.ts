import { chownSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { NetworkPolicy_Mode, PatternType, Permission, SandboxStatus } from '../../proto/index.ts'
import { Sandbox } from '../../sdk/index.ts'
import { filesOrigin } from '../fixtures/origin.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { codebaseWith } from '../fixtures/wire-codebase.ts'
import { has, needs } from '../needs.ts'

const NOBODY = 65_534

const CROFT = fileURLToPath(new URL('../../dist/sdk/cli/main.js', import.meta.url))

// Root only to become somebody else, and to give him a /dev/fuse that he may open.
const NEEDS = ['root', 'fuse', 'bwrap', 'fusermount3'] as const

let dir: string
let server: ServerProcess

beforeAll(async () => {
  if (!(await has(...NEEDS))) return
  dir = temporaryServerDir()
  chownSync(dir, NOBODY, NOBODY)
  server = await ServerProcess.startOrdinary(dir)
})

afterAll(async () => {
  if (server === undefined) return
  const code = await server.end('SIGTERM')
  removeServerDir(dir)
  expect(code).toBe(0)
})

beforeEach((context) => needs(context, ...NEEDS))

function mountsOf({ pid }: { pid: number }): string[] {
  const mountinfo = readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
  return mountinfo.split('\n').filter((line) => line.includes(dir))
}

describe('a server that is not root', () => {
  it('mounts by fusermount3, and says so and what it cannot do', async () => {
    const { filesystem, restrictions } = await server.wire.server.getServerInfo({})
    expect(filesystem).toMatchObject({
      device: 'kernel',
      available: true,
      reason: expect.stringContaining('fusermount3'),
    })
    expect(restrictions).toEqual([
      expect.stringContaining('only namespaces stand between'),
      expect.stringContaining('mount_max'),
      expect.stringContaining('no limits of memory, CPU time, processes'),
      'bwrap: no sandbox can have the whole network (an allow-list it can): run the server as root',
    ])
    const { stdout } = await execa('node', [CROFT, 'doctor', '--server', `unix://${server.ready.socket}`])
    expect(stdout).toMatch(/^NOT POSSIBLE HERE\n- sandboxes run as this server's own user/m)
  })

  it('runs, changes, rules, stops, starts and destroys a sandbox, and leaves no mount', async () => {
    const { wire } = server
    const codebaseId = await codebaseWith(wire, { 'a.txt': 'hello', '.env': 'secret' })
    const { id: sandboxId } = await wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })
    const run = async (command: string) => await wire.sandboxes.exec({ sandboxId, command })
    expect(await run('cat a.txt; echo new > b; mkdir d; mv b d/c; cat d/c; ls -A; id -u')).toMatchObject({
      stdout: 'hellonew\na.txt\nd\n1000\n',
      stderr: '',
    })
    expect(
      (await run('dd if=/dev/zero of=big bs=1M count=8 2>/dev/null; wc -c < big; grep Seccomp: /proc/self/status'))
        .stdout,
    ).toBe(`${8 << 20}\nSeccomp:\t2\n`)
    expect(mountsOf(server.ready)).toHaveLength(1)
    const hidden = { pattern: '/a.txt', type: PatternType.FILE, permission: Permission.NONE, priority: 500 }
    await wire.sandboxes.setPermissions({ sandboxId, permissions: [hidden] })
    expect((await run('cat a.txt')).exitCode).toBe(1)
    expect((await wire.sandboxes.stopSandbox({ sandboxId })).status).toBe(SandboxStatus.STOPPED)
    expect(mountsOf(server.ready)).toEqual([])
    await wire.sandboxes.startSandbox({ sandboxId })
    await wire.sandboxes.destroySandbox({ sandboxId })
    expect(mountsOf(server.ready)).toEqual([])
  })

  it('gives an allow-list of hosts and reaches ports inside, and refuses the whole network with the reason', async (context) => {
    await needs(context, 'curl', 'python3')
    await using origin = await filesOrigin(new Map([['/hello', 'hello\n']]))
    const { sandboxes, trails } = server.wire
    const codebaseId = await codebaseWith(server.wire, { a: '' })
    const full = sandboxes.createSandbox({ codebaseId, network: { mode: NetworkPolicy_Mode.FULL } })
    expect(await refusal(full)).toMatchObject({
      code: 'UNIMPLEMENTED',
      field: 'network.mode',
      details: expect.stringContaining('run the server as root'),
    })
    const network = { mode: NetworkPolicy_Mode.ALLOW_LIST, allow: [`127.0.0.1:${origin.port}`] }
    const { id: sandboxId } = await sandboxes.createSandbox({ codebaseId, network, start: true })
    const get = `curl -sS --noproxy "" http://127.0.0.1:${origin.port}/hello http://a.example/`
    expect((await sandboxes.exec({ sandboxId, command: get })).stdout).toBe(
      'hello\ncroft: a.example is not in network.allow\n',
    )
    expect((await trails.getNetworkTrail({ sandboxId })).uses).toHaveLength(2)

    const echo = `import socket
s = socket.create_server(("127.0.0.1", 3000)); print("listening", flush=True)
c = s.accept()[0]; c.sendall(c.recv(9)); c.close()`
    await sandboxes.exec({
      sandboxId,
      command: `nohup python3 -c '${echo}' > /tmp/log 2>&1 & until grep -qs listening /tmp/log; do sleep 0.05; done`,
    })
    const remote = await Sandbox.connect(sandboxId, { server: `unix://${server.ready.socket}` })
    await using exposed = await remote.expose(3000)
    const socket = connect(exposed.port, exposed.host)
    socket.write('hi')
    expect(await text(socket)).toBe('hi')
    remote.close()
    await sandboxes.destroySandbox({ sandboxId })
  })

  it('keeps a mount through the death of the filesystem thread', async () => {
    const { sandboxes } = server.wire
    const codebaseId = await codebaseWith(server.wire, { 'a.txt': 'hello' })
    const { id: sandboxId } = await sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })
    await sandboxes.exec({ sandboxId, command: 'echo before > b' })
    await server.endThread(1)
    expect((await sandboxes.exec({ sandboxId, command: 'cat a.txt b; echo after > c; cat c' })).stdout).toBe(
      'hellobefore\nafter\n',
    )
    await sandboxes.destroySandbox({ sandboxId })
    expect(mountsOf(server.ready)).toEqual([])
  })

  it('is out of reach from inside, although programs there have its user on the host', async () => {
    const { sandboxes, server: about } = server.wire
    const codebaseId = await codebaseWith(server.wire, { a: '' })
    const start = async () => (await sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })).id
    const [sandboxId, other] = [await start(), await start()]
    const run = async (command: string, id = sandboxId) => (await sandboxes.exec({ sandboxId: id, command })).stdout
    await run('echo secret > /tmp/s; echo secret > s', other)
    const { pid } = server.ready
    const attacks = [
      `ls -A ${dir} /proc/${pid} /proc/1/root 2>/dev/null`,
      `cat /proc/cmdline /proc/keys /tmp/s /workspace/s 2>/dev/null`,
      `chmod 777 /proc/cmdline /proc/1 /etc/passwd 2>/dev/null && echo changed`,
      `find / -xdev -writable -type f 2>/dev/null | grep -v -e ^/workspace -e ^/proc -e ^/dev`,
      `cat /proc/net/unix | tail -n +2`,
      `kill -9 ${pid} 2>/dev/null && echo killed; kill -9 -1`,
    ]
    for (const attack of attacks) expect(await run(attack)).toBe('')
    expect(await run('cat s', other)).toBe('secret\n')
    expect((await about.getServerInfo({})).pid).toBe(pid)
    for (const id of [sandboxId, other]) await sandboxes.destroySandbox({ sandboxId: id })
  })

  it('refuses the limits that it cannot hold, by name', async () => {
    const codebaseId = await codebaseWith(server.wire, { a: '' })
    const asked = server.wire.sandboxes.createSandbox({ codebaseId, resources: { memoryBytes: 1n << 28n } })
    expect(await refusal(asked)).toMatchObject({ code: 'UNIMPLEMENTED', field: 'resources.memory_bytes' })
  })
})
