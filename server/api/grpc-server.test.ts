import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { FileService, ServerService, SnapshotService } from '../../proto/index.ts'
import { refusal } from '../../test/fixtures/refusal.ts'
import { type WireClient, wireClient } from '../../test/fixtures/wire-client.ts'
import { deferred } from '../concurrency/deferred.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import { createLog } from '../observability/log.ts'
import { Grpc } from './grpc-server.ts'
import type { Call, Handlers } from './handlers.ts'
import { Listeners } from './listeners.ts'

const MAX_MESSAGE_BYTES = 1 << 16

let dir: string
let socket: string
let stderr: PassThrough
let grpc: Grpc
let listeners: Listeners
let info: WireClient<typeof ServerService>
let snapshots: WireClient<typeof SnapshotService>
/** What the handlers do; each test sets its own. */
let onInfo: Handlers<typeof ServerService>['getServerInfo']
let onChanges: Handlers<typeof SnapshotService>['listChanges']
let onWrite: Handlers<typeof FileService>['writeFile']

const ANYONE = { owner: '', role: 'admin', name: 'test' } as const
type OpenParts = ConstructorParameters<typeof Grpc>[1]

const never = () => Promise.reject(new Error('nobody calls this'))
async function* none() {
  yield await never()
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'croft-grpc-'))
  socket = join(dir, 'private', 's.sock')
  stderr = new PassThrough()
  const log = createLog({ logLevel: 'info', logFormat: 'json' }, stderr)
  const open: OpenParts = {
    gate: { admit: () => ANYONE },
    guard: { of: () => () => undefined },
    log,
    onEnd: () => undefined,
  }
  grpc = new Grpc({ maxMessageBytes: MAX_MESSAGE_BYTES }, open)
  grpc.add(ServerService, { getServerInfo: (request, call) => onInfo(request, call) })
  grpc.add(SnapshotService, {
    listChanges: (request, call) => onChanges(request, call),
    async *exportSnapshot({ sandboxId }) {
      yield { data: Buffer.from(sandboxId) }
    },
    ...{
      createSnapshot: never,
      getSnapshot: never,
      listSnapshots: never,
      deleteSnapshot: never,
      restoreSnapshot: never,
      publishSnapshot: never,
      forkSandbox: never,
    },
  })
  grpc.add(FileService, {
    writeFile: (requests, call) => onWrite(requests, call),
    ...{
      readFile: none,
      listDirectory: none,
      watchFiles: none,
      statFile: never,
      makeDirectory: never,
      removeFile: never,
      renameFile: never,
    },
  })
  const accept = grpc.open({ name: 'unix' })
  listeners = await Listeners.open({ socket, maxConnections: 3, onUnix: accept, onTcp: accept })
  info = wireClient(ServerService, `unix://${socket}`)
  snapshots = wireClient(SnapshotService, `unix://${socket}`)
})

afterEach(async () => {
  info.close()
  snapshots.close()
  await grpc[Symbol.asyncDispose]()
  await listeners[Symbol.asyncDispose]()
  rmSync(dir, { recursive: true })
})

it('a failure that nobody foresaw tells the client a number, and the log the rest', async () => {
  onInfo = () => Promise.reject(new TypeError('the password is 1234'))
  const { code, details } = await refusal(info.getServerInfo({}))
  expect(code).toBe('INTERNAL')
  expect(details).not.toContain('1234')
  const fault = /fault ([0-9a-f-]{36})/.exec(details)?.[1]
  const line = JSON.parse(String(stderr.read()))
  expect(line).toMatchObject({
    fault,
    level: 'error',
    method: 'GetServerInfo',
    err: { message: 'the password is 1234' },
  })
})

it('a handler that throws before it has begun is answered all the same', async () => {
  onInfo = () => {
    throw invalid('name', 'is missing')
  }
  expect(await refusal(info.getServerInfo({}))).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'name' })
})

it('an error of any text arrives, with its field and reason', async () => {
  onInfo = () => Promise.reject(new CroftError('ABORTED', 'é\n%\u0001', { field: 'naïve', reason: 'x' }))
  expect(await refusal(info.getServerInfo({}))).toMatchObject({
    code: 'ABORTED',
    details: 'é\n%\u0001',
    field: 'na?ve',
    reason: 'x',
  })
})

it('a stream that fails half-way gives what came before, then the status', async () => {
  onChanges = async function* () {
    yield { changes: [{ size: 1n }] }
    throw new CroftError('DATA_LOSS', 'gone')
  }
  const stream = snapshots.listChanges({})[Symbol.asyncIterator]()
  expect((await stream.next()).value?.changes).toHaveLength(1)
  expect((await refusal(stream.next())).code).toBe('DATA_LOSS')
})

it('a stream that is not read is not made, and one that is left ends its handler', async () => {
  let made = 0
  const started = deferred<AbortSignal>()
  const over = deferred<void>()
  onChanges = async function* (_, call: Call) {
    started.resolve(call.signal)
    try {
      for (;;) {
        made += 1
        yield { changes: [{ path: Buffer.alloc(MAX_MESSAGE_BYTES / 2) }] }
      }
    } finally {
      over.resolve()
    }
  }
  const stream = snapshots.listChanges({})
  await stream[Symbol.asyncIterator]().next()
  const signal = await started.promise
  // As many turns of the loop as a stream without bounds would fill the memory in.
  for (let turn = 0; turn < 1000; turn++) await new Promise((resolve) => setImmediate(resolve))
  expect(made).toBeLessThan(100)
  stream.cancel()
  await over.promise
  expect(signal.aborted).toBe(true)
  await grpc.calls.idle()
  expect(grpc.calls.open).toBe(0)
})

it('a message of the limit is taken, one byte more is RESOURCE_EXHAUSTED', async () => {
  const overhead = 4
  const send = (length: number) =>
    snapshots
      .exportSnapshot({ sandboxId: 'x'.repeat(length) })
      [Symbol.asyncIterator]()
      .next()
  const fits = await send(MAX_MESSAGE_BYTES - 2 * overhead)
  expect(fits.value?.data).toHaveLength(MAX_MESSAGE_BYTES - 2 * overhead)
  expect((await refusal(send(MAX_MESSAGE_BYTES))).code).toBe('RESOURCE_EXHAUSTED')
})

it('when stopping, new calls are refused and those under way are told', async () => {
  const begun = deferred<AbortSignal>()
  onInfo = (_, call) => {
    begun.resolve(call.signal)
    return new Promise((_resolve, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason)))
  }
  const underWay = refusal(info.getServerInfo({}))
  await begun.promise
  grpc.calls.refuse()
  grpc.calls.abort()
  await grpc.calls.idle()
  expect(await underWay).toMatchObject({ code: 'UNAVAILABLE', reason: 'stopping' })
  expect(await refusal(info.getServerInfo({}))).toMatchObject({ code: 'UNAVAILABLE', reason: 'stopping' })
})

it('a stream that is cut while its handler is busy elsewhere ends with an error, not as if it were whole', async () => {
  const begun = deferred<void>()
  const read = deferred<unknown>()
  onWrite = async (requests, call) => {
    const stream = requests[Symbol.asyncIterator]()
    await stream.next()
    begun.resolve()
    if (!call.signal.aborted) await new Promise((resolve) => call.signal.addEventListener('abort', resolve))
    await stream.next().then(read.resolve, read.resolve)
    return {}
  }
  const files = wireClient(FileService, `unix://${socket}`)
  const stop = new AbortController()
  void begun.promise.then(() => stop.abort())
  const start = { message: { case: 'start' as const, value: { sandboxId: 'sb' } } }
  expect((await refusal(files.writeFile([start], stop.signal))).code).toBe('CANCELLED')
  expect(await read.promise).toBeInstanceOf(Error)
  files.close()
})

it('only its user can connect to the socket, whose directory is private', () => {
  expect(statSync(socket).mode & 0o777).toBe(0o600)
  expect(statSync(join(dir, 'private')).mode & 0o777).toBe(0o700)
})

it('one connection over the limit is closed, the others stay', async () => {
  const open = () =>
    new Promise<Socket>((resolve) => {
      const connection = connect(socket, () => resolve(connection))
    })
  const kept = [await open(), await open(), await open()]
  const refused = await open()
  await new Promise((resolve) => refused.resume().once('close', resolve))
  expect(listeners.connected).toBe(3)
  expect(kept.every((connection) => !connection.destroyed)).toBe(true)
  for (const connection of kept) connection.destroy()
})

it('what is in the way of the socket and is none is left alone', async () => {
  const path = join(dir, 'file')
  writeFileSync(path, 'precious')
  const options = { socket: path, maxConnections: 1, onUnix: () => undefined, onTcp: () => undefined }
  await expect(Listeners.open(options)).rejects.toThrow(/not a socket/)
  expect(statSync(path).size).toBe(8)
})
