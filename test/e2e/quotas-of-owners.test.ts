import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { uploadFile } from '../fixtures/wire-codebase.ts'
import { has, needs } from '../needs.ts'

let dir: string
let server: ServerProcess

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  dir = temporaryServerDir()
  const limits = { maxSandboxesPerOwner: 3, maxRunningPerOwner: 1, maxSnapshotsPerOwner: 1, maxBytesPerOwner: 100_000 }
  const given = { ...limits, maxCommandsPerMinutePerOwner: 2, diskBytesPerSandbox: 4096 }
  const flags = Object.entries(given).flatMap(([name, value]) => ['--limit', `${name}=${value}`])
  server = await ServerProcess.start(dir, ...flags)
})

afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  if (dir !== undefined) removeServerDir(dir)
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

it('an owner has what its quota says, and is told what and how much; others have theirs', async () => {
  const { wire } = await server.as('alice', 'user')
  const { id: codebaseId } = await wire.codebases.createCodebase({ name: 'p' })
  await uploadFile(wire, codebaseId, 'half', 'x'.repeat(50_000))
  expect(await refusal(uploadFile(wire, codebaseId, 'too much', 'x'.repeat(50_001)))).toMatchObject({
    code: 'RESOURCE_EXHAUSTED',
    reason: 'quota_bytes',
    details: expect.stringContaining('owner alice has 50000 of 100000 bytes'),
  })

  const make = (start: boolean) => wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start })
  const { id: sandboxId } = await make(true)
  expect(await refusal(make(true))).toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'quota_running' })
  const made = await Promise.all([1, 2, 3].map(() => refusal(make(false))))
  expect(made.map(({ code, reason }) => [code, reason]).sort()).toEqual([
    ['OK', undefined],
    ['OK', undefined],
    ['RESOURCE_EXHAUSTED', 'quota_sandboxes'],
  ])
  expect((await refusal(wire.snapshots.forkSandbox({ sandboxId }))).reason).toBe('quota_sandboxes')

  const run = () => refusal(wire.sandboxes.exec({ sandboxId, command: 'true' }))
  expect([(await run()).code, (await run()).code]).toEqual(['OK', 'OK'])
  expect(await run()).toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'quota_commands_per_minute' })
  expect((await refusal(wire.commands.startCommand({ request: { sandboxId, command: 'true' } }))).reason).toBe(
    'quota_commands_per_minute',
  )
  // Neither bytes of a second copy of the codebase, which the quota would hold whole, nor a second one.
  expect((await refusal(wire.snapshots.createSnapshot({ sandboxId }))).reason).toBe('quota_bytes')

  const { wire: bobs } = await server.as('bob', 'user')
  const { id: his } = await bobs.codebases.createCodebase({ name: 'p' })
  const { id } = await bobs.sandboxes.createSandbox({ codebaseId: his, preset: 'development', start: true })
  expect((await bobs.sandboxes.exec({ sandboxId: id, command: 'echo hi' })).stdout).toBe('hi\n')
  await bobs.snapshots.createSnapshot({ sandboxId: id })
  expect((await refusal(bobs.snapshots.createSnapshot({ sandboxId: id }))).reason).toBe('quota_snapshots')
})
