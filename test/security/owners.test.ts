import type { DescMethod } from '@bufbuild/protobuf'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { decisionOf } from '../../server/access/decisions.ts'
import { KINDS } from '../../server/access/request-ids.ts'
import { ask } from '../fixtures/ask.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir, type Wire } from '../fixtures/server-process.ts'
import { type IdField, idFieldsOf, METHODS } from '../fixtures/services.ts'
import { uploadFile } from '../fixtures/wire-codebase.ts'
import { has, needs } from '../needs.ts'

/** What alice has. Bob is another user of the same server. */
interface Things {
  codebaseId: string
  sandboxId: string
  sessionId: string
  snapshotId: string
  commandId: string
}

let dir: string
let server: ServerProcess
let address: string
let things: Things
const users: Record<string, { wire: Wire; token: string }> = {}

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  dir = temporaryServerDir()
  server = await ServerProcess.start(dir)
  address = `unix://${server.ready.socket}`
  users['alice'] = await server.as('alice', 'user')
  users['bob'] = await server.as('bob', 'user')
  users['alice reads'] = await server.as('alice', 'read-only')
  things = await make(wireOf('alice'))
})

afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  if (dir !== undefined) removeServerDir(dir)
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

function wireOf(user: string): Wire {
  return (users[user] as { wire: Wire }).wire
}

function tokenOf(user: string): string {
  return (users[user] as { token: string }).token
}

async function make(wire: Wire): Promise<Things> {
  const { id: codebaseId } = await wire.codebases.createCodebase({ name: 'hers' })
  await uploadFile(wire, codebaseId, 'secret.txt', 'of alice')
  const { id: sandboxId } = await wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })
  const { id: sessionId } = await wire.sandboxes.createSession({ sandboxId })
  const { id: snapshotId } = await wire.snapshots.createSnapshot({ sandboxId, name: 'hers' })
  const { id: commandId } = await wire.commands.startCommand({ request: { sandboxId, command: 'sleep 600' } })
  return { codebaseId, sandboxId, sessionId, snapshotId, commandId }
}

/** By the name of the field in a request. */
function idFor(kind: string): { hers: string; nobodys: string } | undefined {
  switch (kind) {
    case 'codebase_id':
      return { hers: things.codebaseId, nobodys: 'cb_0123456789abcdef' }
    case 'sandbox_id':
      return { hers: things.sandboxId, nobodys: 'sb_0123456789abcdef' }
    case 'session_id':
      return { hers: things.sessionId, nobodys: 'sess_0123456789abcdef' }
    case 'snapshot_id':
      return { hers: things.snapshotId, nobodys: 'snap_0123456789abcdef' }
    default:
      return undefined
  }
}

const isOwned = ({ kind }: IdField) => idFor(kind) !== undefined

const OWNED = Object.keys(KINDS)

const kindsIn = (method: DescMethod) => new Set(idFieldsOf(method.input).map(({ kind }) => kind))

const nameOf = ({ parent, name }: DescMethod) => `${parent.name}.${name}`

describe("another owner's ids", () => {
  const asked = METHODS.filter(
    (method) => OWNED.some((kind) => kindsIn(method).has(kind)) && !decisionOf(method).filters,
  )

  it('are of kinds that this test knows, and every method has been decided about', () => {
    expect(OWNED.filter((kind) => idFor(kind) === undefined)).toEqual([])
    for (const method of METHODS) expect(decisionOf(method).needs).toBeDefined()
    expect(asked.length).toBeGreaterThan(40)
  })

  it.each(asked.map((method) => [nameOf(method), method] as const))(
    'do not exist for %s: it is answered as for those that nobody has',
    async (_, method) => {
      const fields = idFieldsOf(method.input).filter(isOwned)
      expect(fields).not.toEqual([])
      for (const { name, kind, requestWith } of fields) {
        const ids = idFor(kind)
        if (ids === undefined) throw new Error(`no id for ${kind}`)
        const as = { token: tokenOf('bob') }
        const hers = await ask(address, method, requestWith(ids.hers), as)
        const nobodys = await ask(address, method, requestWith(ids.nobodys), as)
        // What is for admins is refused before anything is looked up.
        const code = decisionOf(method).needs === 'admin' ? 'PERMISSION_DENIED' : 'NOT_FOUND'
        expect({ name, code: hers.code }).toEqual({ name, code })
        expect({ ...hers, details: hers.details.replaceAll(ids.hers, ids.nobodys), error: undefined }).toEqual({
          ...nobodys,
          error: undefined,
        })
      }
    },
  )

  it('give empty lists, and no list has what is hers', async () => {
    const bob = wireOf('bob')
    const { codebaseId, sandboxId } = things
    expect((await bob.codebases.listCodebases({})).codebases).toEqual([])
    expect((await bob.codebases.listCodebases({ ownerId: 'alice' })).codebases).toEqual([])
    expect((await bob.sandboxes.listSandboxes({})).sandboxes).toEqual([])
    expect((await bob.sandboxes.listSandboxes({ codebaseId })).sandboxes).toEqual([])
    expect((await bob.snapshots.listSnapshots({})).snapshots).toEqual([])
    expect((await bob.snapshots.listSnapshots({ sandboxId, codebaseId })).snapshots).toEqual([])
  })

  it('are not reached by way of something of his own', async () => {
    const bob = wireOf('bob')
    const { id: codebaseId } = await bob.codebases.createCodebase({ name: 'his' })
    const { id: sandboxId } = await bob.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })
    const { commandId, snapshotId } = things
    const tries = [
      () => bob.commands.getCommand({ sandboxId, commandId }),
      () => bob.commands.signalCommand({ sandboxId, commandId }),
      () => bob.snapshots.restoreSnapshot({ sandboxId, snapshotId }),
      () => bob.snapshots.publishSnapshot({ snapshotId, codebaseId }),
      () => bob.sandboxes.createSandbox({ snapshotId }),
    ]
    for (const each of tries) expect((await refusal(each())).code).toBe('NOT_FOUND')
    const from = { side: { case: 'snapshotId' as const, value: snapshotId } }
    const diff = METHODS.find(({ name }) => name === 'GetPatch') as DescMethod
    expect((await ask(address, diff, { query: { sandboxId, from } }, { token: tokenOf('bob') })).code).toBe('NOT_FOUND')
    await bob.sandboxes.destroySandbox({ sandboxId })
  })

  it('are no name to make things under, nor is an empty one', async () => {
    const bob = wireOf('bob')
    const hers = await refusal(bob.codebases.createCodebase({ name: 'x', ownerId: 'alice' }))
    expect(hers).toMatchObject({ code: 'PERMISSION_DENIED', field: 'owner_id' })
    const tree = await ask(
      address,
      METHODS.find(({ name }) => name === 'PutTree') as DescMethod,
      { message: { case: 'start', value: { name: 'x', ownerId: 'alice' } } },
      { token: tokenOf('bob') },
    )
    expect(tree.code).toBe('PERMISSION_DENIED')
    expect((await bob.codebases.createCodebase({ name: 'x' })).ownerId).toBe('bob')
  })

  it('are there for her, and for an admin', async () => {
    const { codebaseId, sandboxId, sessionId, snapshotId, commandId } = things
    for (const wire of [wireOf('alice'), wireOf('alice reads'), server.wire]) {
      expect((await wire.codebases.getCodebase({ codebaseId })).ownerId).toBe('alice')
      expect((await wire.sandboxes.getSandbox({ sandboxId })).ownerId).toBe('alice')
      expect((await wire.snapshots.getSnapshot({ snapshotId })).ownerId).toBe('alice')
      expect((await wire.sandboxes.getSession({ sessionId })).id).toBe(sessionId)
      expect((await wire.commands.getCommand({ sandboxId, commandId })).id).toBe(commandId)
      expect((await wire.sandboxes.listSandboxes({})).sandboxes.map(({ id }) => id)).toContain(sandboxId)
    }
  })

  it('stay hers in what is made of them, whoever makes it', async () => {
    const { sandboxId, snapshotId, codebaseId } = things
    const { sandboxes: forks } = await server.wire.snapshots.forkSandbox({ sandboxId })
    const made = await server.wire.sandboxes.createSandbox({ snapshotId })
    const snapshot = await server.wire.snapshots.createSnapshot({ sandboxId: made.id })
    const other = await server.wire.sandboxes.createSandbox({ codebaseId })
    expect([forks[0]?.ownerId, made.ownerId, snapshot.ownerId, other.ownerId]).toEqual(Array(4).fill('alice'))
    for (const { id } of [...forks, made, other]) await wireOf('alice').sandboxes.destroySandbox({ sandboxId: id })
  })
})

describe('a read-only token', () => {
  const READS = new Set([
    ...['GetCodebase', 'ListCodebases', 'DownloadFile', 'ListFiles', 'GetServerInfo', 'GetCaller'],
    ...['GetSandbox', 'ListSandboxes', 'GetSession', 'ListSessions', 'GetUsage', 'ListPresets', 'GetStats'],
    ...['WatchStats', 'GetCommand', 'ListCommands', 'ReadCommandOutput', 'WaitCommand', 'ReadFile', 'StatFile'],
    ...['ListDirectory', 'WatchFiles', 'ListChanges', 'ExportSnapshot', 'GetSnapshot', 'ListSnapshots'],
    ...['Export', 'ListDifferences', 'GetPatch', 'GetAccessTrail', 'SuggestPolicy', 'GetNetworkTrail'],
  ])
  // A method that came later is as it is decided.
  const reads = ['read', 'nothing']
  const writes = METHODS.filter(
    (method) => !READS.has(method.name) && !reads.includes(String(decisionOf(method).needs)),
  )

  it('can call these, and no other of those that there were when this was written', () => {
    const WRITES =
      'CreateCodebase DeleteCodebase UploadFiles PutTree CreateSandbox StartSandbox StopSandbox DestroySandbox Exec ' +
      'ExecStream ExecInteractive CreateSession DestroySession SessionExec SessionExecStream SetPermissions ' +
      'StartCommand SignalCommand WriteFile MakeDirectory RemoveFile RenameFile CreateSnapshot DeleteSnapshot ' +
      'RestoreSnapshot PublishSnapshot ForkSandbox ExposePort ConnectPort CreateToken ListTokens RevokeToken RotateToken'
    const names = writes.map(({ name }) => name)
    expect(WRITES.split(' ').filter((name) => !names.includes(name))).toEqual([])
  })

  it.each(writes.map((method) => [nameOf(method), method] as const))('cannot call %s', async (_, method) => {
    const [first] = idFieldsOf(method.input).filter(isOwned)
    const request = first === undefined ? {} : first.requestWith(idFor(first.kind)?.hers ?? '')
    const answer = await ask(address, method, request, { token: tokenOf('alice reads') })
    expect(answer).toMatchObject({ code: 'PERMISSION_DENIED', reason: 'role' })
  })

  it('ends no command by giving up on its output', async () => {
    const { sandboxId, commandId } = things
    const read = METHODS.find(({ name }) => name === 'ReadCommandOutput') as DescMethod
    const request = { sandboxId, commandId, follow: true, killOnCancel: true }
    const answer = await ask(address, read, request, { token: tokenOf('alice reads') })
    expect(answer.code).toBe('PERMISSION_DENIED')
  })

  it('a user is no admin', async () => {
    for (const method of METHODS.filter(
      ({ parent, name }) => parent.name === 'AccessService' && name !== 'GetCaller',
    )) {
      const answer = await ask(address, method, {}, { token: tokenOf('alice') })
      expect(answer).toMatchObject({ code: 'PERMISSION_DENIED', reason: 'role' })
    }
  })
})
