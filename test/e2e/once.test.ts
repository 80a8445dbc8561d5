import { afterAll, beforeAll, expect, it } from 'vitest'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'

let dir: string
let server: ServerProcess

beforeAll(async () => {
  dir = temporaryServerDir()
  server = await ServerProcess.start(dir)
})

afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  removeServerDir(dir)
})

it('the same request with its key again is answered with what there is, also after kill -9', async () => {
  const codebase = { name: 'p', ownerId: 'alice', idempotencyKey: 'k1' }
  const { id: codebaseId } = await server.wire.codebases.createCodebase(codebase)
  const request = { codebaseId, labels: { a: '1', b: '2' }, idempotencyKey: 'k1' }
  const { id: sandboxId } = await server.wire.sandboxes.createSandbox(request)
  const fork = { sandboxId, count: 3, idempotencyKey: 'k1' }
  const forks = async () => (await server.wire.snapshots.forkSandbox(fork)).sandboxes.map(({ id }) => id)
  const first = await forks()
  const { id: snapshotId } = await server.wire.snapshots.createSnapshot({ sandboxId, idempotencyKey: 'k1' })

  await server.end('SIGKILL')
  server = await ServerProcess.start(dir)
  const { codebases, sandboxes, snapshots } = server.wire
  expect((await codebases.createCodebase(codebase)).id).toBe(codebaseId)
  expect((await sandboxes.createSandbox({ ...request, labels: { b: '2', a: '1' } })).id).toBe(sandboxId)
  expect(await forks()).toEqual(first)
  expect((await snapshots.createSnapshot({ sandboxId, idempotencyKey: 'k1' })).id).toBe(snapshotId)
  expect((await sandboxes.listSandboxes({})).sandboxes).toHaveLength(4)

  const other = await refusal(sandboxes.createSandbox({ ...request, preset: 'read-only' }))
  expect(other).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'idempotency_key' })
  await sandboxes.destroySandbox({ sandboxId })
  expect((await sandboxes.createSandbox(request)).id).not.toBe(sandboxId)
})

it('of many at one time one is made', async () => {
  const { codebases } = server.wire
  const make = () => codebases.createCodebase({ name: 'q', ownerId: 'bob', idempotencyKey: 'k2' })
  const made = await Promise.all(Array.from({ length: 8 }, make))
  expect(new Set(made.map(({ id }) => id)).size).toBe(1)
  expect((await codebases.listCodebases({ ownerId: 'bob' })).codebases).toHaveLength(1)
})

it("another owner's key is another key, and no key is none", async () => {
  const [alice, bob] = [await server.as('alice', 'user'), await server.as('bob', 'user')]
  const make = (user: typeof alice) => user.wire.codebases.createCodebase({ name: 'r', idempotencyKey: 'k3' })
  const [hers, his] = [await make(alice), await make(bob)]
  expect([hers.ownerId, his.ownerId]).toEqual(['alice', 'bob'])
  const again = await Promise.all([1, 2].map(() => alice.wire.codebases.createCodebase({ name: 'r' })))
  expect(new Set([hers, ...again].map(({ id }) => id)).size).toBe(3)
})

it('a key of 256 bytes is taken, one of 257 is not', async () => {
  const { codebases } = server.wire
  const make = (bytes: number) =>
    refusal(codebases.createCodebase({ name: 's', ownerId: '', idempotencyKey: 'k'.repeat(bytes) }))
  expect((await make(256)).code).toBe('OK')
  expect(await make(257)).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'idempotency_key' })
})

it('pages have everything once, whatever is made and removed between them', async () => {
  const { wire } = await server.as('pages', 'user')
  const make = (name: string) => wire.codebases.createCodebase({ name })
  for (let at = 0; at < 7; at += 1) await make(`c${at}`)
  const names: string[] = []
  let pageToken = ''
  do {
    const page = await wire.codebases.listCodebases({ pageSize: 3, pageToken })
    expect(page.codebases.length).toBeLessThanOrEqual(3)
    names.push(...page.codebases.map(({ name }) => name))
    pageToken = page.nextPageToken
    const [first] = page.codebases
    if (names.length === 3 && first !== undefined) {
      await wire.codebases.deleteCodebase({ codebaseId: first.id })
      await make('late')
    }
  } while (pageToken !== '')
  expect(names).toEqual(['c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'late'])
  // A token of one user leads another nowhere.
  const { nextPageToken } = await wire.codebases.listCodebases({ pageSize: 1 })
  const stranger = await server.as('stranger', 'user')
  expect(await stranger.wire.codebases.listCodebases({ pageToken: nextPageToken })).toMatchObject({ codebases: [] })
})
