import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CommandError, runToEnd } from './child.ts'

let scratch: string

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'croft-child-'))
})

afterEach(() => rmSync(scratch, { recursive: true }))

const unaborted = new AbortController().signal

test('what a command writes is given back whole', async () => {
  const printed = await runToEnd('sh', ['-c', 'head -c 300000 /dev/zero | tr "\\0" x'], { signal: unaborted })
  expect(printed).toBe('x'.repeat(300_000))
})

test('a command that fails is an error with its code and the end of what it said', async () => {
  const failing = runToEnd('sh', ['-c', 'echo first >&2; echo last >&2; exit 3'], { signal: unaborted })
  await expect(failing).rejects.toThrow(CommandError)
  await expect(failing).rejects.toThrow(/code 3: first \| last/)
})

test('an abort ends the command and what it has started', async () => {
  const fifo = join(scratch, 'fifo')
  execFileSync('mkfifo', [fifo])
  const controller = new AbortController()
  // The one in the background holds our end of stdout: were it left alive, the promise would not settle.
  const running = runToEnd('sh', ['-c', 'sleep 1000 & echo started > "$0"; wait', fifo], { signal: controller.signal })
  const outcome = running.catch((error: unknown) => error)
  expect(await readFile(fifo, 'utf8')).toBe('started\n')
  const reason = new Error('enough')
  controller.abort(reason)
  expect(await outcome).toBe(reason)
})

test('nothing is started once the signal has fired', async () => {
  const run = runToEnd('touch', [join(scratch, 'made')], { signal: AbortSignal.abort(new Error('too late')) })
  await expect(run).rejects.toThrow('too late')
  expect(() => execFileSync('test', ['-e', join(scratch, 'made')])).toThrow()
})
