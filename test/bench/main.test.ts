import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { needs } from '../needs.ts'

const MAIN = join(import.meta.dirname, '../../dist/test/bench/main.js')

let home: string
let scratch: string

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'croft-bench-test-'))
  scratch = join(home, 'scratch')
  mkdirSync(scratch)
})

afterEach(() => rmSync(home, { recursive: true }))

test('every sample is in the JSON, with the machine that it was measured on', async () => {
  const args = ['policy', '--runs', '2', '--json', '--out', join(home, 'out'), '--scratch', scratch]
  const { stdout } = await execa('node', [MAIN, ...args])
  const report = JSON.parse(stdout)
  expect(report).toMatchObject({
    runs: 2,
    quick: false,
    machine: { node: process.version },
    suites: [{ suite: 'policy' }],
  })
  for (const figure of report.suites[0].sections[0].figures) expect(figure.samples).toHaveLength(2)
  const [file = ''] = readdirSync(join(home, 'out'))
  expect(JSON.parse(readFileSync(join(home, 'out', file), 'utf8'))).toEqual(report)
  expect(readdirSync(scratch)).toEqual([])
})

test('a suite that does not exist is refused before anything is done', async () => {
  const { exitCode, stderr } = await execa('node', [MAIN, 'disk', '--scratch', scratch], { reject: false })
  expect(exitCode).toBe(2)
  expect(stderr).toContain('disk')
  expect(readdirSync(scratch)).toEqual([])
})

test('an interrupted run ends with 130 and leaves no mount, process or file', async (context) => {
  await needs(context, 'root', 'fuse', 'cc')
  const args = ['fs', '--quick', '--variant', 'croft', '--scratch', scratch, '--out', join(home, 'out')]
  const child = spawn('node', [MAIN, ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
  // The head line is written when the work begins.
  await once(child.stdout, 'data')
  child.kill('SIGINT')
  expect(await once(child, 'exit')).toEqual([130, null])
  expect(readdirSync(scratch)).toEqual([])
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(home)
  const commands = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(commandLine)
  expect(commands.filter((command) => command.includes(scratch))).toEqual([])
})

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch (error) {
    // It has ended since it was listed.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return ''
    throw error
  }
}
