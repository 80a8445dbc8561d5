import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { CodebaseRecord } from './record-types.ts'
import { Records, RecordsLocked } from './records.ts'

let dir: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'croft-records-'))
})

afterEach(() => {
  rmSync(dir, { recursive: true })
})

function codebase(id: string, sequence: number): CodebaseRecord {
  return { id, sequence, name: id, ownerId: '', root: 'r', createdAtMs: 1, updatedAtMs: 1 }
}

it('records are there after a restart, in the order in which they were made', async () => {
  {
    await using records = await Records.open(dir)
    for (const id of ['cb_z', 'cb_a', 'cb_m'])
      await records.codebases.put(codebase(id, records.codebases.nextSequence()))
    await records.codebases.delete('cb_a')
  }
  await using records = await Records.open(dir)
  expect([...records.codebases.values()].map(({ id }) => id)).toEqual(['cb_z', 'cb_m'])
  expect(records.codebases.nextSequence()).toBe(4)
  expect(records.codebases.get('cb_a')).toBeUndefined()
})

it('kinds do not see one another', async () => {
  await using records = await Records.open(dir)
  await records.codebases.put(codebase('cb_1', 1))
  expect(records.sandboxes.size + records.sessions.size).toBe(0)
})

it('a record that was changed keeps its place', async () => {
  await using records = await Records.open(dir)
  await records.codebases.putAll([codebase('cb_1', 1), codebase('cb_2', 2)])
  await records.codebases.put({ ...codebase('cb_1', 1), name: 'new' })
  expect([...records.codebases.values()].map(({ name }) => name)).toEqual(['new', 'cb_2'])
})

it('a second one is kept out while the first is open', async () => {
  await using records = await Records.open(dir)
  await expect(Records.open(dir)).rejects.toThrow(RecordsLocked)
  expect(records.codebases.size).toBe(0)
})
