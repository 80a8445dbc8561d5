import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { expect, test } from 'vitest'

const script = fileURLToPath(new URL('../../.ci/readme-table.mjs', import.meta.url))

test('the table of README says what the runtimes are held to', async () => {
  const { exitCode, stderr } = await execa('node', [script, '--check'], { reject: false, stdin: 'ignore' })
  expect([stderr, exitCode]).toEqual(['', 0])
})
