import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { SandboxStatus, SessionStatus } from '../../proto/index.ts'
import { collect } from '../fixtures/collect.ts'
import { refusal } from '../fixtures/refusal.ts'
import { hostPids } from '../fixtures/sandbox-pids.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { needs } from '../needs.ts'

let dir: string

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse', 'bwrap')
  dir = temporaryServerDir()
})

afterEach(() => {
  if (dir !== undefined) removeServerDir(dir)
})

async function codebaseWithFile({ wire }: ServerProcess): Promise<string> {
  const { id: codebaseId } = await wire.codebases.createCodebase({ name: 'project' })
  await wire.codebases.uploadFiles([
    { content: { case: 'metadata', value: { codebaseId, filePath: 'a.txt', totalSize: 5n } } },
    { content: { case: 'data', value: Buffer.from('hello') } },
  ])
  return codebaseId
}

async function read({ wire }: ServerProcess, sandboxId: string, path: string): Promise<string> {
  const chunks = await collect(wire.files.readFile({ sandboxId, path: Buffer.from(path) }))
  return Buffer.concat(chunks.map(({ data }) => data)).toString()
}

it.each(['sync', 'sync -f .'])('what `%s` inside has acknowledged is there after kill -9', async (sync) => {
  const first = await ServerProcess.start(dir)
  const codebaseId = await codebaseWithFile(first)
  const { id: sandboxId } = await first.wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })
  const command = `mkdir made; echo new > made/file; ${sync}`
  expect(await first.wire.sandboxes.exec({ sandboxId, command })).toMatchObject({ exitCode: 0, stderr: '' })
  expect(await first.end('SIGKILL')).toBe('SIGKILL')

  await using second = await ServerProcess.start(dir)
  expect(await read(second, sandboxId, 'made/file')).toBe('new\n')
})

it('after kill -9 everything that was answered is there, and nothing is left mounted or running', async () => {
  const first = await ServerProcess.start(dir)
  const codebaseId = await codebaseWithFile(first)
  const started = await first.wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })
  const sandboxId = started.id
  const pending = await first.wire.sandboxes.createSandbox({ codebaseId })
  const { id: sessionId } = await first.wire.sandboxes.createSession({ sandboxId })
  await first.wire.sandboxes.exec({ sandboxId, command: 'echo changed > a.txt; echo new > b.txt; sync a.txt b.txt' })
  const [view = ''] = first.mounts()
  expect(view).toContain(`/${sandboxId}/`)
  expect(await first.end('SIGKILL')).toBe('SIGKILL')
  expect(first.mounts()).toEqual([view])

  await using second = await ServerProcess.start(dir)
  expect(second.mounts()).toEqual([])
  expect(readdirSync(join(view, '../..'))).toEqual([])
  expect(hostPids(view)).toEqual([])
  expect(second.ready.instance).not.toBe(first.ready.instance)

  const { sandboxes, codebases } = second.wire
  expect(await codebases.getCodebase({ codebaseId })).toMatchObject({ size: 5n, fileCount: 1 })
  expect(await sandboxes.getSandbox({ sandboxId })).toMatchObject({
    status: SandboxStatus.STOPPED,
    preset: 'development',
  })
  expect((await sandboxes.getSandbox({ sandboxId: pending.id })).status).toBe(SandboxStatus.PENDING)
  expect((await sandboxes.getSession({ sessionId })).status).toBe(SessionStatus.CLOSED)
  expect([await read(second, sandboxId, 'a.txt'), await read(second, sandboxId, 'b.txt')]).toEqual([
    'changed\n',
    'new\n',
  ])
  await sandboxes.startSandbox({ sandboxId })
  expect((await sandboxes.exec({ sandboxId, command: 'cat a.txt b.txt' })).stdout).toBe('changed\nnew\n')
})

it('a graceful stop ends commands and streams, flushes, unmounts, and takes its socket away', async () => {
  const first = await ServerProcess.start(dir)
  const codebaseId = await codebaseWithFile(first)
  const { id: sandboxId } = await first.wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })
  const output = first.wire.sandboxes
    .execStream({ sandboxId, command: 'echo kept > b.txt; echo up; sleep 60' })
    [Symbol.asyncIterator]()
  await output.next()
  const cut = refusal(output.next())
  expect(await first.end('SIGTERM')).toBe(0)
  expect((await cut).code).not.toBe('OK')
  expect(first.mounts()).toEqual([])
  expect(readdirSync(dir)).not.toContain('croft.sock')
  expect(readdirSync(join(dir, 'mnt'))).toEqual([])

  await using second = await ServerProcess.start(dir)
  expect((await second.wire.sandboxes.getSandbox({ sandboxId })).status).toBe(SandboxStatus.STOPPED)
  expect(await read(second, sandboxId, 'b.txt')).toBe('kept\n')
})

it('a second server on the data directory is refused and told the pid of the first', async () => {
  await using first = await ServerProcess.start(dir)
  await expect(ServerProcess.start(dir)).rejects.toThrow(`in use by the server with pid ${first.ready.pid}`)
  expect(await first.wire.server.getServerInfo({})).toMatchObject({
    pid: first.ready.pid,
    instance: first.ready.instance,
  })
})

it('a server that nobody needs ends by itself', async () => {
  const server = await ServerProcess.start(dir, '--idle-exit', '1')
  expect(await server.exited()).toBe(0)
})

it('on TCP it answers at the address that it tells', async () => {
  await using server = await ServerProcess.start(dir, '--listen', '127.0.0.1:0', '--dangerously-let-anyone-in')
  const address = server.ready.address
  expect(address?.port).toBeGreaterThan(0)
  const overTcp = server.connect(`127.0.0.1:${address?.port}`)
  expect((await overTcp.server.getServerInfo({})).instance).toBe(server.ready.instance)
})

it('a socket that another server answers at is left alone', async () => {
  await using first = await ServerProcess.start(dir)
  const refused = ServerProcess.start(dir, '--data-dir', join(dir, 'other'))
  await expect(refused).rejects.toThrow(`another server is listening on ${first.ready.socket}`)
  expect((await first.wire.server.getServerInfo({})).pid).toBe(first.ready.pid)
})
