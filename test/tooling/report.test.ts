import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const repository = fileURLToPath(new URL('../..', import.meta.url))

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'croft-report-'))
  await mkdir(join(folder, '.ci'))
  await cp(join(repository, '.ci/report.mjs'), join(folder, '.ci/report.mjs'))
  await mkdir(join(folder, 'dist/test'), { recursive: true })
  await writeFile(
    join(folder, 'dist/test/probes.js'),
    "export const probes = { here: async () => undefined, gone: async () => 'not installed' }\n",
  )
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
})

afterEach(() => rm(folder, { recursive: true, force: true }))

interface Told {
  readonly status: string
  readonly said?: string
  readonly need?: string
}

async function report(...tests: readonly Told[]): Promise<void> {
  const assertionResults = tests.map(({ status, said, need }, at) => ({
    fullName: `test ${at}`,
    status,
    failureMessages: said === undefined ? [] : [said],
    meta: need === undefined ? {} : { skipped: { need, reason: 'said so' } },
  }))
  await write([{ name: `${folder}/a.test.ts`, status: 'passed', assertionResults }])
}

async function write(testResults: readonly object[]): Promise<void> {
  await writeFile(join(folder, 'dist/test-report.json'), JSON.stringify({ testResults }))
}

function run(command: string) {
  return execa('node', ['.ci/report.mjs', command], { cwd: folder, reject: false, stdin: 'ignore' })
}

describe('the report', () => {
  test('counts every test once', async () => {
    await report({ status: 'passed' }, { status: 'failed' }, { status: 'skipped' }, { status: 'todo' })
    expect((await run('counts')).stdout).toBe('1 passed, 1 failed, 2 skipped')
  })

  test('a file that could not be loaded counts as a failure', async () => {
    await write([{ name: 'a.test.ts', status: 'failed', assertionResults: [] }])
    expect((await run('counts')).stdout).toBe('0 passed, 1 failed, 0 skipped')
  })

  test('a run without a report counts as a failure', async () => {
    expect((await run('counts')).stdout).toBe('0 passed, 1 failed, 0 skipped')
  })

  test('every failure stands at the end with what it said', async () => {
    await report({ status: 'passed' }, { status: 'failed', said: 'expected 1 to be 2' })
    expect((await run('failures')).stdout).toBe('FAILED  a.test.ts: test 1\nexpected 1 to be 2')
  })

  test('a file that could not be loaded is among the failures', async () => {
    await write([{ name: `${folder}/b.test.ts`, status: 'failed', message: 'no such module', assertionResults: [] }])
    expect((await run('failures')).stdout).toBe('FAILED  b.test.ts\nno such module')
  })

  test('a skip is right where the machine lacks what the test needs', async () => {
    await report({ status: 'skipped', need: 'gone' })
    const result = await run('skips')
    expect(result.stdout).toContain('skipped  a.test.ts: test 0\n         needs gone: said so')
    expect(result.exitCode).toBe(0)
  })

  test('a skip is wrong where the machine has what the test needs', async () => {
    await report({ status: 'skipped', need: 'here' })
    const result = await run('skips')
    expect(result.stdout).toContain('SKIPPED WRONGLY  a.test.ts: test 0')
    expect(result.exitCode).toBe(1)
  })

  test.each([undefined, 'no-such-probe'])('a skip that names %s as its need is wrong', async (need) => {
    await report({ status: 'skipped', ...(need === undefined ? {} : { need }) })
    const result = await run('skips')
    expect(result.stdout).toContain('SKIPPED WITHOUT A REASON  a.test.ts: test 0')
    expect(result.exitCode).toBe(1)
  })
})
