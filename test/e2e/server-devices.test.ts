import { chownSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ChangeKind, PatternType, Permission, SandboxStatus } from '../../proto/index.ts'
import { collect } from '../fixtures/collect.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir, type Wire } from '../fixtures/server-process.ts'
import { codebaseWith } from '../fixtures/wire-codebase.ts'
import { has, needs } from '../needs.ts'

/** For whom fusermount3 mounts nothing, for they have no name. */
const NAMELESS = 64_321
const NEEDS = ['root', 'fuse', 'bwrap', 'fuse-native'] as const

let dir: string
let server: ServerProcess
let wire: Wire

beforeAll(async () => {
  if (!(await has(...NEEDS))) return
  dir = temporaryServerDir()
  server = await ServerProcess.start(dir, '--fs-device', 'fuse-native')
  wire = server.wire
})

afterAll(async () => {
  if (server === undefined) return
  const code = await server.end('SIGTERM')
  const left = server.mounts()
  removeServerDir(dir)
  expect({ code, left }).toEqual({ code: 0, left: [] })
})

beforeEach((context) => needs(context, ...NEEDS))

const bytes = (text: string) => Buffer.from(text)

/** Its main thread answers the mounts and the calls alike: nothing that it does may wait for a mount. */
describe('a server whose views go through libfuse 2', () => {
  it('says so, and why, in its log and when it is asked', async () => {
    const { filesystem } = await wire.server.getServerInfo({})
    expect(filesystem).toMatchObject({
      device: 'fuse-native',
      available: true,
      reason: expect.stringContaining('libfuse.so.2'),
    })
    expect(filesystem?.capabilities).not.toContain('renameFlags')
    expect(server.log.split('\n').filter((line) => line.includes('chose how views are mounted'))).toHaveLength(1)
  })

  it('refuses a limit of bandwidth, which that device cannot hold, by the name of the field', async () => {
    const codebaseId = await codebaseWith(wire, {})
    const asked = wire.sandboxes.createSandbox({ codebaseId, resources: { io: { writeBytesPerSecond: 1_000_000n } } })
    expect(await refusal(asked)).toMatchObject({ code: 'UNIMPLEMENTED', field: 'resources.io.write_bytes_per_second' })
  })

  it('creates, starts, runs, changes, stops and destroys a sandbox', async () => {
    const codebaseId = await codebaseWith(wire, { 'a.txt': 'hello', 'src/b.txt': 'b' })
    const { id: sandboxId } = await wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })
    const run = async (command: string) => await wire.sandboxes.exec({ sandboxId, command })
    expect(await run('cat a.txt; mkdir -p d/e; echo new > d/e/f; mv src/b.txt c; echo more >> a.txt')).toMatchObject({
      stdout: 'hello',
      stderr: '',
      exitCode: 0,
    })
    expect((await run('id -u; stat -c %u d/e/f; cat d/e/f c a.txt')).stdout).toBe('1000\n1000\nnew\nbhellomore\n')
    const changes = (await collect(wire.snapshots.listChanges({ sandboxId }))).flatMap((page) => page.changes)
    expect(changes.map(({ path, kind }) => [Buffer.from(path).toString(), kind])).toEqual([
      ['a.txt', ChangeKind.MODIFIED],
      ['c', ChangeKind.RENAMED],
      ['d', ChangeKind.CREATED],
      ['d/e', ChangeKind.CREATED],
      ['d/e/f', ChangeKind.CREATED],
    ])
    expect((await wire.sandboxes.stopSandbox({ sandboxId })).status).toBe(SandboxStatus.STOPPED)
    await wire.sandboxes.startSandbox({ sandboxId })
    expect((await run('cat d/e/f')).stdout).toBe('new\n')
    await wire.sandboxes.destroySandbox({ sandboxId })
    expect((await refusal(wire.sandboxes.getSandbox({ sandboxId }))).code).toBe('NOT_FOUND')
    expect(server.mounts()).toEqual([])
  })

  it('shows a change from outside and a change of the rules at the next call', async () => {
    const codebaseId = await codebaseWith(wire, { 'a.txt': 'hello' })
    const { id: sandboxId } = await wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })
    const cat = async () => (await wire.sandboxes.exec({ sandboxId, command: 'cat a.txt' })).stdout
    expect(await cat()).toBe('hello')
    await wire.files.writeFile([
      { message: { case: 'start', value: { sandboxId, path: bytes('a.txt') } } },
      { message: { case: 'data', value: bytes('outside') } },
    ])
    expect(await cat()).toBe('outside')
    const hidden = { pattern: '/a.txt', type: PatternType.FILE, permission: Permission.NONE, priority: 500 }
    await wire.sandboxes.setPermissions({ sandboxId, permissions: [hidden] })
    expect(await cat()).toBe('')
    await wire.sandboxes.destroySandbox({ sandboxId })
  })

  it('answers while many sandboxes work at once', async () => {
    const codebaseId = await codebaseWith(wire, { 'a.txt': 'hello' })
    const made = await Promise.all(
      Array.from({ length: 4 }, () => wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })),
    )
    const command = 'for i in $(seq 100); do echo $i > f$i; done; cat f* | wc -l; rm f*; ls'
    const outputs = await Promise.all(made.map(({ id: sandboxId }) => wire.sandboxes.exec({ sandboxId, command })))
    expect(outputs.map(({ stdout }) => stdout)).toEqual(made.map(() => '100\na.txt\n'))
    await Promise.all(made.map(({ id: sandboxId }) => wire.sandboxes.destroySandbox({ sandboxId })))
    expect(server.mounts()).toEqual([])
  })
})

describe('a server', () => {
  it('that is to use a device that there is not is refused by its setting', async () => {
    const elsewhere = temporaryServerDir()
    try {
      await expect(ServerProcess.start(elsewhere, '--fs-device', 'floppy')).rejects.toThrow(/`fs.device`/)
    } finally {
      removeServerDir(elsewhere)
    }
  })

  it('that may mount nothing runs all the same and says why; one that is told to by name does not', async () => {
    const elsewhere = temporaryServerDir()
    chownSync(elsewhere, NAMELESS, NAMELESS)
    try {
      await using other = await ServerProcess.start(elsewhere, { uid: NAMELESS })
      expect((await other.wire.server.getServerInfo({})).filesystem).toMatchObject({
        available: false,
        reason: expect.stringMatching(/not kernel: .*fusermount3.*; not fuse-native: it needs root/),
      })
      await other.end('SIGTERM')
      await expect(ServerProcess.start(elsewhere, { uid: NAMELESS }, '--fs-device', 'kernel')).rejects.toThrow(
        /`fs.device`: views cannot be mounted as wanted: not kernel/,
      )
    } finally {
      removeServerDir(elsewhere)
    }
  })
})
