import { afterEach, beforeEach, expect, it } from 'vitest'
import { TreeBuilder } from '../../fs-layer/store/tree-builder.ts'
import { type TemporaryStore, temporaryStore } from '../../test/fixtures/temporary-store.ts'
import { Serial } from '../concurrency/serial.ts'
import { limitsSchema } from '../config/limits.ts'
import type { SandboxRecord } from '../records/record-types.ts'
import { Records } from '../records/records.ts'
import { Snapshots } from './snapshots.ts'

const OF = { codebaseId: 'cb_0123456789abcdef' }
const NO_QUOTAS = { check: () => undefined, reserve: () => ({ [Symbol.dispose]: () => undefined }) }

let temporary: TemporaryStore
let records: Records
let snapshots: Snapshots

beforeEach(async () => {
  temporary = await temporaryStore()
  records = await Records.open(`${temporary.scratch}/records`)
  const { store } = temporary
  const limits = limitsSchema.parse({ maxSnapshots: 2, maxNameBytes: 8 })
  snapshots = new Snapshots({ limits }, { store, records, serial: new Serial(), quotas: NO_QUOTAS, nowMs: () => 1 })
})

afterEach(async () => {
  await records[Symbol.asyncDispose]()
  await temporary[Symbol.asyncDispose]()
})

async function keep(name: string) {
  const { hash, root } = await new TreeBuilder({}, { store: temporary.store }).finish()
  const of = { id: 'sb_0123456789abcdef', codebaseId: 'cb_0123456789abcdef', base: hash } as SandboxRecord
  return await snapshots.keep(of, { hash, root, skipped: 0 }, { name, labels: {} })
}

async function rootNames(): Promise<string[]> {
  const names: string[] = []
  for await (const { name } of temporary.store.roots()) names.push(name)
  return names
}

it('there may be as many as the limit, and another when one is deleted', async () => {
  const { id } = await keep('one')
  await keep('two')
  expect(() => snapshots.checkNew('three', OF)).toThrow('which is the limit')
  await expect(keep('three')).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' })
  await snapshots.delete(id)
  await keep('three')
})

it('a name may be as long as the limit, and is no control characters', () => {
  snapshots.checkNew('x'.repeat(8), OF)
  expect(() => snapshots.checkNew('x'.repeat(9), OF)).toThrow(/name/)
  expect(() => snapshots.checkNew('a\nb', OF)).toThrow(/name/)
})

it('its version has a name in the store for as long as it is there', async () => {
  const { id } = await keep('one')
  expect(await rootNames()).toEqual([`snapshot/${id}`, `snapshot/${id}/origin`])
  await snapshots.delete(id)
  expect(await rootNames()).toEqual([])
})
