import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Store } from '../../fs-layer/store/store.ts'
import { collect } from '../fixtures/collect.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { codebaseWith } from '../fixtures/wire-codebase.ts'
import { needs } from '../needs.ts'

let dir: string

beforeEach(async (context) => {
  await needs(context, 'fuse')
  dir = temporaryServerDir()
})

afterEach(() => {
  if (dir !== undefined) removeServerDir(dir)
})

/** Of a server that has ended. */
async function withStore(of: string, work: (store: Store) => Promise<void>): Promise<void> {
  await using store = await Store.open({ dir: join(of, 'data', 'store') })
  await work(store)
}

async function write({ wire }: ServerProcess, sandboxId: string, path: string, text: string): Promise<void> {
  const start = { sandboxId, path: Buffer.from(path), principal: 2 }
  await wire.files.writeFile([
    { message: { case: 'start', value: start } },
    { message: { case: 'data', value: Buffer.from(text) } },
  ])
}

async function read({ wire }: ServerProcess, sandboxId: string, path: string): Promise<string> {
  const chunks = await collect(wire.files.readFile({ sandboxId, path: Buffer.from(path), principal: 2 }))
  return Buffer.concat(chunks.map(({ data }) => data)).toString()
}

it('after kill -9 every snapshot that was answered is there with all that it has, and so is what was restored', async () => {
  const first = await ServerProcess.start(dir)
  const codebaseId = await codebaseWith(first.wire, { 'a.txt': 'hello' })
  const { id: sandboxId } = await first.wire.sandboxes.createSandbox({ codebaseId, preset: 'development' })
  await write(first, sandboxId, 'small', 'small')
  await write(first, sandboxId, 'large', 'x'.repeat(100_000))
  const { id: snapshotId, rootHash } = await first.wire.snapshots.createSnapshot({ sandboxId, name: 'one' })
  await write(first, sandboxId, 'small', 'changed')
  await first.wire.snapshots.restoreSnapshot({ sandboxId, snapshotId })
  const { sandboxes: forks } = await first.wire.snapshots.forkSandbox({ sandboxId, count: 2 })
  expect(await first.end('SIGKILL')).toBe('SIGKILL')

  // As a server leaves it that dies in the middle of another restoring.
  const deltas = join(dir, 'data', 'deltas')
  mkdirSync(join(deltas, `${sandboxId}.2`))
  writeFileSync(join(deltas, `${sandboxId}.2`, 'trail.json'), '')

  await withStore(dir, async (store) => {
    for (const name of ['sandbox/sb_0123456789abcdef', `sandbox/${sandboxId}.2`, 'snapshot/snap_0123456789abcdef']) {
      await store.setRoots([[name, Buffer.from(rootHash).toString('hex')]])
    }
  })

  const second = await ServerProcess.start(dir)
  const { snapshots } = second.wire
  expect(await snapshots.getSnapshot({ snapshotId })).toMatchObject({ name: 'one', rootHash, fileCount: 3n })
  for (const id of [sandboxId, ...forks.map((fork) => fork.id)]) {
    expect(await read(second, id, 'small')).toBe('small')
    expect(await read(second, id, 'large')).toHaveLength(100_000)
  }
  expect(readdirSync(deltas)).not.toContain(`${sandboxId}.2`)
  expect(readdirSync(deltas)).toContain(`${sandboxId}.1`)
  await second.end('SIGTERM')
  await withStore(dir, async (store) => {
    const names: string[] = []
    for await (const { name } of store.roots()) names.push(name)
    const of = (what: string) => [what, `${what}/origin`]
    const sandboxes = [`sandbox/${sandboxId}.1`, ...forks.map(({ id }) => `sandbox/${id}`)]
    const wanted = [...[...sandboxes, `snapshot/${snapshotId}`].flatMap(of), `codebase/${codebaseId}`]
    expect(names.sort()).toEqual(wanted.sort())
  })
})

it('a snapshot that is under way when the filesystem thread dies is made or refused, and made the next time', async () => {
  await using server = await ServerProcess.startMortal(dir)
  const { wire } = server
  const codebaseId = await codebaseWith(wire, { 'a.txt': 'hello' })
  const { id: sandboxId } = await wire.sandboxes.createSandbox({ codebaseId, preset: 'development' })
  await write(server, sandboxId, 'large', 'x'.repeat(8_000_000))
  await wire.snapshots.createSnapshot({ sandboxId })
  await write(server, sandboxId, 'other', 'y'.repeat(8_000_000))
  const underWay = wire.snapshots.createSnapshot({ sandboxId }).catch((error: unknown) => error)
  await server.endThread(1)
  const made = await underWay
  if (made instanceof Error) expect(made).toMatchObject({ code: status.UNAVAILABLE })
  const { rootHash, id: snapshotId } = await wire.snapshots.createSnapshot({ sandboxId })
  if (!(made instanceof Error)) expect(made).toMatchObject({ rootHash })
  const { id } = await wire.sandboxes.createSandbox({ snapshotId, preset: 'development' })
  expect(await read(server, id, 'large')).toBe('x'.repeat(8_000_000))
  expect(await read(server, id, 'other')).toBe('y'.repeat(8_000_000))
  expect(readdirSync(join(dir, 'data', 'deltas', sandboxId))).not.toContain('moments')
})
