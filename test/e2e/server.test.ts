import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { SandboxStatus } from '../../proto/index.ts'
import { collect } from '../fixtures/collect.ts'
import { refusal } from '../fixtures/refusal.ts'
import { hostPids } from '../fixtures/sandbox-pids.ts'
import { removeServerDir, ServerProcess, temporaryServerDir, type Wire } from '../fixtures/server-process.ts'
import { codebaseWith, uploadFile } from '../fixtures/wire-codebase.ts'
import { has, needs } from '../needs.ts'

let dir: string
let server: ServerProcess
let wire: Wire

beforeAll(async () => {
  if (!(await has('root')) || !(await has('fuse')) || !(await has('bwrap'))) return
  dir = temporaryServerDir()
  server = await ServerProcess.start(dir, '--limit', 'pageSizeMax=3', '--limit', 'maxUnaryOutputBytes=1000')
  wire = server.wire
})

afterAll(async () => {
  if (server === undefined) return
  const code = await server.end('SIGTERM')
  const left = server.mounts()
  removeServerDir(dir)
  expect({ code, left }).toEqual({ code: 0, left: [] })
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

const bytes = (text: string) => Buffer.from(text)

function mountOf(sandboxId: string): string {
  return server.mounts().find((point) => point.includes(sandboxId)) ?? ''
}

async function runningSandbox(files: Readonly<Record<string, string>> = { 'a.txt': 'hello' }): Promise<string> {
  const codebaseId = await codebaseWith(wire, files)
  const { id, status: state } = await wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })
  expect(state).toBe(SandboxStatus.RUNNING)
  return id
}

const UNKNOWN = { cb: 'cb_0123456789abcdef', sb: 'sb_0123456789abcdef', sess: 'sess_0123456789abcdef' }

describe('the life of a sandbox', () => {
  it('goes from pending over running and stopped to nothing, and keeps its changes while it is stopped', async () => {
    const codebaseId = await codebaseWith(wire, { 'a.txt': 'hello' })
    const labels = { team: 'x' }
    const { id: sandboxId, ...created } = await wire.sandboxes.createSandbox({
      codebaseId,
      preset: 'development',
      labels,
    })
    expect(created).toMatchObject({ status: SandboxStatus.PENDING, labels, preset: 'development', error: '' })
    expect((await wire.sandboxes.startSandbox({ sandboxId })).status).toBe(SandboxStatus.RUNNING)
    expect(await wire.sandboxes.exec({ sandboxId, command: 'echo new > b.txt; cat a.txt' })).toMatchObject({
      stdout: 'hello',
    })
    const stopped = await wire.sandboxes.stopSandbox({ sandboxId })
    expect(stopped.status).toBe(SandboxStatus.STOPPED)
    expect(stopped.stoppedAt).toBeDefined()
    const read = await collect(wire.files.readFile({ sandboxId, path: bytes('b.txt') }))
    expect(Buffer.concat(read.map(({ data }) => data)).toString()).toBe('new\n')
    await wire.sandboxes.startSandbox({ sandboxId })
    expect((await wire.sandboxes.exec({ sandboxId, command: 'cat b.txt' })).stdout).toBe('new\n')
    await wire.sandboxes.destroySandbox({ sandboxId })
    expect((await refusal(wire.sandboxes.getSandbox({ sandboxId }))).code).toBe('NOT_FOUND')
    expect((await wire.sandboxes.listSandboxes({ codebaseId })).sandboxes).toEqual([])
  })

  it('what does not fit its state is FAILED_PRECONDITION', async () => {
    const sandboxId = await runningSandbox()
    const code = async (call: Promise<unknown>) => (await refusal(call)).code
    expect(await code(wire.sandboxes.startSandbox({ sandboxId }))).toBe('FAILED_PRECONDITION')
    await wire.sandboxes.stopSandbox({ sandboxId })
    expect(await code(wire.sandboxes.stopSandbox({ sandboxId }))).toBe('FAILED_PRECONDITION')
    const refused = await refusal(wire.sandboxes.exec({ sandboxId, command: 'true' }))
    expect(refused).toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'not_running' })
    expect(await code(collect(wire.sandboxes.execStream({ sandboxId, command: 'true' })))).toBe('FAILED_PRECONDITION')
    expect(await code(wire.sandboxes.createSession({ sandboxId }))).toBe('FAILED_PRECONDITION')
  })

  it('of two starts at once one wins', async () => {
    const codebaseId = await codebaseWith(wire, {})
    const { id: sandboxId } = await wire.sandboxes.createSandbox({ codebaseId })
    const codes = await Promise.all(
      [1, 2, 3].map(async () => (await refusal(wire.sandboxes.startSandbox({ sandboxId }))).code),
    )
    expect(codes.toSorted()).toEqual(['FAILED_PRECONDITION', 'FAILED_PRECONDITION', 'OK'])
  })

  it('one whose boundary is killed is an error that says why, and can be started again', async () => {
    const sandboxId = await runningSandbox()
    const output = wire.sandboxes.execStream({ sandboxId, command: 'echo up; sleep 60' })[Symbol.asyncIterator]()
    await output.next()
    for (const pid of hostPids(mountOf(sandboxId))) process.kill(pid, 'SIGKILL')
    expect((await refusal(output.next())).code).toBe('ABORTED')
    await expect
      .poll(async () => (await wire.sandboxes.getSandbox({ sandboxId })).status, { timeout: 10_000 })
      .toBe(SandboxStatus.ERROR)
    expect((await wire.sandboxes.getSandbox({ sandboxId })).error).not.toBe('')
    expect((await wire.sandboxes.startSandbox({ sandboxId })).status).toBe(SandboxStatus.RUNNING)
    expect((await wire.sandboxes.exec({ sandboxId, command: 'cat a.txt' })).stdout).toBe('hello')
  })

  it('one that has expired is gone', async () => {
    const codebaseId = await codebaseWith(wire, {})
    const expiresIn = { seconds: 0n, nanos: 1_000_000 }
    const { id: sandboxId } = await wire.sandboxes.createSandbox({ codebaseId, expiresIn, start: true })
    await expect
      .poll(async () => (await refusal(wire.sandboxes.getSandbox({ sandboxId }))).code, { timeout: 10_000 })
      .toBe('NOT_FOUND')
    expect(server.mounts().filter((point) => point.includes(sandboxId))).toEqual([])
  })

  it('new rules hold for the next command', async () => {
    const sandboxId = await runningSandbox({ 'a.txt': 'hello', 'b.txt': 'other' })
    const cat = async () => (await wire.sandboxes.exec({ sandboxId, command: 'cat a.txt' })).exitCode
    expect(await cat()).toBe(0)
    const rule = { pattern: '/b.txt', permission: 3 }
    expect((await wire.sandboxes.setPermissions({ sandboxId, permissions: [rule] })).permissions).toMatchObject([rule])
    expect(await cat()).toBe(1)
    expect((await wire.sandboxes.exec({ sandboxId, command: 'ls' })).stdout).toBe('b.txt\n')
  })

  it.each([
    ['codebase_id', 'INVALID_ARGUMENT', { codebaseId: '' }],
    ['codebase_id', 'INVALID_ARGUMENT', { codebaseId: 'cb_xyz' }],
    ['permissions[1].pattern', 'INVALID_ARGUMENT', { permissions: [{ pattern: 'ok' }, { pattern: '[' }] }],
    ['preset', 'INVALID_ARGUMENT', { preset: 'nice' }],
    ['expires_in', 'INVALID_ARGUMENT', { expiresIn: { seconds: -1n } }],
    ['labels', 'INVALID_ARGUMENT', { labels: { '': 'x' } }],
    ['resources.memory_bytes', 'INVALID_ARGUMENT', { resources: { memoryBytes: -1n } }],
    ['image', 'INVALID_ARGUMENT', { image: '--privileged' }],
    ['image', 'UNIMPLEMENTED', { image: 'debian:12' }],
    ['image', 'INVALID_ARGUMENT', { runtime: 2 }],
    ['runtime', 'UNIMPLEMENTED', { runtime: 4 }],
    ['network.mode', 'INVALID_ARGUMENT', { network: { mode: 9 } }],
    ['network.allow', 'INVALID_ARGUMENT', { network: { mode: 1, allow: ['example.com'] } }],
    ['network.allow[1]', 'INVALID_ARGUMENT', { network: { mode: 2, allow: ['example.com', 'a b'] } }],
  ])('a request with a bad %s is %s', async (field, code, request) => {
    const codebaseId = await codebaseWith(wire, {})
    expect(await refusal(wire.sandboxes.createSandbox({ codebaseId, ...request }))).toMatchObject({ code, field })
    expect((await wire.sandboxes.listSandboxes({ codebaseId })).sandboxes).toEqual([])
  })

  it('unknown ids are NOT_FOUND, malformed ones INVALID_ARGUMENT by their field', async () => {
    const { sandboxes, codebases, files, snapshots } = wire
    const unknown = [
      sandboxes.getSandbox({ sandboxId: UNKNOWN.sb }),
      sandboxes.startSandbox({ sandboxId: UNKNOWN.sb }),
      sandboxes.stopSandbox({ sandboxId: UNKNOWN.sb }),
      sandboxes.destroySandbox({ sandboxId: UNKNOWN.sb }),
      sandboxes.exec({ sandboxId: UNKNOWN.sb, command: 'true' }),
      collect(sandboxes.execStream({ sandboxId: UNKNOWN.sb, command: 'true' })),
      sandboxes.createSession({ sandboxId: UNKNOWN.sb }),
      sandboxes.listSessions({ sandboxId: UNKNOWN.sb }),
      sandboxes.getSession({ sessionId: UNKNOWN.sess }),
      sandboxes.destroySession({ sessionId: UNKNOWN.sess }),
      sandboxes.sessionExec({ sessionId: UNKNOWN.sess, command: 'true' }),
      sandboxes.setPermissions({ sandboxId: UNKNOWN.sb }),
      sandboxes.createSandbox({ codebaseId: UNKNOWN.cb }),
      codebases.getCodebase({ codebaseId: UNKNOWN.cb }),
      codebases.deleteCodebase({ codebaseId: UNKNOWN.cb }),
      codebases.listFiles({ codebaseId: UNKNOWN.cb }),
      collect(codebases.downloadFile({ codebaseId: UNKNOWN.cb, filePath: 'x' })),
      uploadFile(wire, UNKNOWN.cb, 'x', 'x'),
      files.statFile({ sandboxId: UNKNOWN.sb }),
      collect(snapshots.listChanges({ sandboxId: UNKNOWN.sb })),
    ]
    expect(new Set(await Promise.all(unknown.map(async (call) => (await refusal(call)).code)))).toEqual(
      new Set(['NOT_FOUND']),
    )
    const malformed = await Promise.all([
      refusal(sandboxes.getSandbox({ sandboxId: '../x' })),
      refusal(sandboxes.getSession({ sessionId: '' })),
      refusal(codebases.getCodebase({ codebaseId: UNKNOWN.sb })),
    ])
    expect(malformed.map(({ code, field }) => [code, field])).toEqual([
      ['INVALID_ARGUMENT', 'sandbox_id'],
      ['INVALID_ARGUMENT', 'session_id'],
      ['INVALID_ARGUMENT', 'codebase_id'],
    ])
  })

  it('presets are listed with their rules', async () => {
    const { presets } = await wire.sandboxes.listPresets({})
    expect(presets.map(({ name }) => name)).toEqual([
      'agent-safe',
      'development',
      'read-only',
      'view-only',
      'full-access',
    ])
    expect(presets.every(({ permissions }) => permissions.length > 0)).toBe(true)
  })
})
