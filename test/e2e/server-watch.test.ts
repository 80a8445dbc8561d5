import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { FileEventKind, FileEventReset, type WatchFilesResponse } from '../../proto/index.ts'
import { type FileEvent, Sandbox } from '../../sdk/index.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { codebaseWith } from '../fixtures/wire-codebase.ts'
import { has, needs } from '../needs.ts'

const MAX_WATCHES = 3

let dir: string
let server: ServerProcess
let sandboxId: string

beforeAll(async () => {
  if (!(await has('root', 'fuse'))) return
  dir = temporaryServerDir()
})

afterAll(() => {
  if (dir !== undefined) removeServerDir(dir)
})

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse')
  server = await start()
  const codebaseId = await codebaseWith(server.wire, { 'a.txt': 'one' })
  const { id } = await server.wire.sandboxes.createSandbox({ codebaseId, preset: 'full-access' })
  sandboxId = id
})

afterEach(async () => {
  await server?.[Symbol.asyncDispose]()
})

describe('WatchFiles', () => {
  it('is refused beyond its limit, until one of those that watch has gone', async () => {
    const calls = Array.from({ length: MAX_WATCHES }, () => server.wire.files.watchFiles({ sandboxId }))
    for (const call of calls) await nextOf(call)
    expect(await refusal(nextOf(server.wire.files.watchFiles({ sandboxId })))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
    })
    calls[0]?.cancel()
    const more = await admitted()
    expect(more.events).toMatchObject([{ kind: FileEventKind.RESET, reset: FileEventReset.BEGIN }])
  })

  it('works on a sandbox that has never run, and names the field that is wrong', async () => {
    const call = server.wire.files.watchFiles({ sandboxId })
    await nextOf(call)
    await write('new', 'x')
    expect((await nextOf(call)).events).toMatchObject([{ kind: FileEventKind.CREATED, path: Buffer.from('new') }])
    for (const [request, field] of [
      [{ sandboxId, cursor: '1.2' }, 'cursor'],
      [{ sandboxId, path: Buffer.from('a/../b') }, 'path'],
      [{ sandboxId: 'nonsense' }, 'sandbox_id'],
    ] as const) {
      expect(await refusal(nextOf(server.wire.files.watchFiles(request)))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        field,
      })
    }
  })
})

describe('sandbox.files.watch', () => {
  it('finds a server that was killed and comes back, and says that it has to look anew', async () => {
    await using sandbox = await Sandbox.connect(sandboxId, { server: `unix://${server.ready.socket}` })
    const watch = sandbox.files.watch()
    expect(await watch.next()).toMatchObject({ value: { kind: 'reset', reason: 'begin' } })
    await write('before', 'x')
    expect(await watch.next()).toMatchObject({ value: { kind: 'created', path: 'before' } })
    const next = watch.next()
    await server.end('SIGKILL')
    server = await start()
    const renewed = (await next).value as FileEvent
    expect(renewed).toMatchObject({ kind: 'reset', reason: 'renewed' })
    await write('after', 'x')
    expect(await watch.next()).toMatchObject({ value: { kind: 'created', path: 'after' } })
    await watch.return()
  })

  it('gives up on a server that stays away', async () => {
    await using sandbox = await Sandbox.connect(sandboxId, { server: `unix://${server.ready.socket}` })
    const watch = sandbox.files.watch('', { reconnectMs: 0 })
    await watch.next()
    const next = watch.next()
    next.catch(() => undefined)
    await server.end('SIGKILL')
    await expect(next).rejects.toMatchObject({ code: 'server_unreachable' })
    server = await start()
  })
})

function start(): Promise<ServerProcess> {
  return ServerProcess.start(dir, '--limit', `maxWatchesPerSandbox=${MAX_WATCHES}`)
}

async function write(path: string, text: string): Promise<void> {
  await server.wire.files.writeFile([
    { message: { case: 'start', value: { sandboxId, path: Buffer.from(path) } } },
    { message: { case: 'data', value: Buffer.from(text) } },
  ])
}

async function nextOf(call: AsyncIterable<WatchFilesResponse>): Promise<WatchFilesResponse> {
  const { value } = await call[Symbol.asyncIterator]().next()
  return value
}

/** The server hears of a client that has gone when it does: asks until it has. */
async function admitted(): Promise<WatchFilesResponse> {
  for (;;) {
    try {
      return await nextOf(server.wire.files.watchFiles({ sandboxId }))
    } catch (error) {
      if ((error as { code?: number }).code !== RESOURCE_EXHAUSTED) throw error
    }
  }
}

const RESOURCE_EXHAUSTED = 8
