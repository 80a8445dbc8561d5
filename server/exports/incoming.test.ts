import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { chunksAt } from '../../fs-layer/archive/archive-file.ts'
import { collect } from '../../test/fixtures/collect.ts'
import { receive } from './incoming.ts'

let dir: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'croft-incoming-'))
})

afterEach(() => rmSync(dir, { recursive: true }))

async function* chunks(...texts: readonly string[]) {
  for (const text of texts) yield Buffer.from(text)
}

test('as many bytes as the limit are received, and have no name meanwhile', async () => {
  await using file = await receive({ dir, maxBytes: 8, field: 'data' }, chunks('abcd', 'efgh'))
  expect(readdirSync(dir)).toEqual([])
  expect(file.size).toBe(8)
  expect(Buffer.concat(await collect(chunksAt(file))).toString()).toBe('abcdefgh')
})

test('one byte more is refused by the name of its field', async () => {
  const more = receive({ dir, maxBytes: 8, field: 'base_image' }, chunks('abcd', 'efgh', 'i'))
  await expect(more).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED', field: 'base_image' })
  expect(readdirSync(dir)).toEqual([])
})
