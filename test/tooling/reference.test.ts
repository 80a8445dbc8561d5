import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ERROR_CODES } from '../../sdk/index.ts'

const repository = join(import.meta.dirname, '../..')
let fresh: string

beforeAll(async () => {
  fresh = mkdtempSync(join(tmpdir(), 'croft-reference-'))
  await execa('node', [join(repository, '.ci/reference.mjs'), '--output', fresh])
})

afterAll(() => rmSync(fresh, { recursive: true, force: true }))

test.each(['commands.md', 'methods.md'])('docs/reference/%s is what npm run gen writes', (name) => {
  const kept = readFileSync(join(repository, 'docs/reference', name), 'utf8')
  expect(kept).toBe(readFileSync(join(fresh, name), 'utf8'))
})

test('every code of an error stands in the page of troubles', () => {
  const page = readFileSync(join(repository, 'docs/guide/troubleshooting.md'), 'utf8')
  const described = Array.from(page.matchAll(/^### `(.*)`$/gm), ([, code]) => code)
  expect(described.sort()).toEqual([...ERROR_CODES].sort())
})
