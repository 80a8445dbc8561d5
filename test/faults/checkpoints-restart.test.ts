import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Store } from '../../fs-layer/store/store.ts'
import { CheckpointMode } from '../../proto/index.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { codebaseWith } from '../fixtures/wire-codebase.ts'
import { needs } from '../needs.ts'

let dir: string

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse', 'bwrap')
  dir = temporaryServerDir()
})

afterEach(() => {
  if (dir !== undefined) removeServerDir(dir)
})

async function rootNames(): Promise<string[]> {
  await using store = await Store.open({ dir: join(dir, 'data', 'store') })
  const names: string[] = []
  for await (const { name } of store.roots()) if (name.startsWith('checkpoint/')) names.push(name)
  return names.sort()
}

it('checkpoints outlive kill -9, so many of them as are kept, and go with their sandbox', async () => {
  const first = await ServerProcess.start(dir, '--limit', 'maxCheckpointsPerSandbox=3')
  const codebaseId = await codebaseWith(first.wire, { 'a.txt': 'hello' })
  const request = { codebaseId, preset: 'development', start: true, checkpoint: CheckpointMode.EACH_COMMAND }
  const { id: sandboxId } = await first.wire.sandboxes.createSandbox(request)
  for (let n = 0; n < 5; n++) await first.wire.sandboxes.exec({ sandboxId, command: `echo ${n} > a.txt` })
  const { checkpoints: made } = await first.wire.checkpoints.listCheckpoints({ sandboxId })
  expect(made.map(({ command }) => command)).toEqual([2, 3, 4].map((n) => `echo ${n} > a.txt`))
  expect(await first.end('SIGKILL')).toBe('SIGKILL')
  expect(await rootNames()).toEqual(made.map(({ id }) => `checkpoint/${id}`).sort())

  const second = await ServerProcess.start(dir, '--limit', 'maxCheckpointsPerSandbox=3')
  const { wire } = second
  expect((await wire.checkpoints.listCheckpoints({ sandboxId })).checkpoints).toEqual(made)
  await wire.checkpoints.rollback({ sandboxId, to: { case: 'checkpointId', value: made[1]?.id ?? '' } })
  await wire.sandboxes.startSandbox({ sandboxId })
  expect((await wire.sandboxes.exec({ sandboxId, command: 'cat a.txt' })).stdout).toBe('2\n')
  await wire.sandboxes.destroySandbox({ sandboxId })
  await second.end('SIGTERM')
  expect(await rootNames()).toEqual([])
})
