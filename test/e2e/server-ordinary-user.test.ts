import { chownSync, readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PatternType, Permission, SandboxStatus } from '../../proto/index.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { codebaseWith } from '../fixtures/wire-codebase.ts'
import { needs } from '../needs.ts'

const NOBODY = 65_534

let dir: string

beforeEach(async (context) => {
  // Root only to become somebody else, and to give him a /dev/fuse that he may open.
  await needs(context, 'root', 'fuse', 'bwrap', 'fusermount3')
  dir = temporaryServerDir()
  chownSync(dir, NOBODY, NOBODY)
})

afterEach(() => removeServerDir(dir))

function mountsOf({ pid }: { pid: number }): string[] {
  const mountinfo = readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
  return mountinfo.split('\n').filter((line) => line.includes(dir))
}

describe('a server that is not root', () => {
  it('mounts by fusermount3, and says so and what it cannot do', async () => {
    await using server = await ServerProcess.startOrdinary(dir)
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
    ])
  })

  it('runs, changes, rules, stops, starts and destroys a sandbox, and leaves no mount', async () => {
    await using server = await ServerProcess.startOrdinary(dir)
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
    expect(await server.end('SIGTERM')).toBe(0)
  })

  it('keeps a mount through the death of the filesystem thread', async () => {
    await using server = await ServerProcess.startOrdinary(dir)
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

  it('refuses the limits that it cannot hold, by name', async () => {
    await using server = await ServerProcess.startOrdinary(dir)
    const codebaseId = await codebaseWith(server.wire, { a: '' })
    const asked = server.wire.sandboxes.createSandbox({ codebaseId, resources: { memoryBytes: 1n << 28n } })
    expect(await refusal(asked)).toMatchObject({ code: 'UNIMPLEMENTED', field: 'resources.memory_bytes' })
  })
})
