import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { Sandbox, Server } from '../../sdk/index.ts'
import { type PrivateUser, privateUser, useEnvironment } from '../fixtures/private-user.ts'
import { has, needs } from '../needs.ts'

const MAIN = join(import.meta.dirname, '../../dist/sdk/cli/main.js')

let user: PrivateUser
let restore: () => void

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  user = privateUser()
  restore = useEnvironment(user.env)
})

afterAll(async () => {
  restore?.()
  await user?.[Symbol.asyncDispose]()
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

const croft = (...args: string[]) => execa('node', [MAIN, ...args], { env: user.env, stdin: 'ignore', reject: false })

async function left(): Promise<object> {
  await using server = await Server.connect()
  const folders = readdirSync(tmpdir()).filter((name) => name.startsWith('croft-bench-cli-'))
  return { sandboxes: await Sandbox.list({ server }), folders }
}

it('croft bench exec measures beside a bubblewrap for each, and leaves nothing', async () => {
  const { stdout, exitCode } = await croft('bench', 'exec', '--runs', '2', '--execs', '3')
  expect(exitCode).toBe(0)
  const lines = stdout.split('\n')
  expect(lines[0]).toMatch(/^P50 +P95 +P99 +SAMPLES +BESIDE BWRAP +WHAT$/)
  expect(lines[1]).toMatch(/ms +6 +[\d.]+ x +true in a sandbox$/)
  expect(lines[3]).toMatch(/ms +6 +1\.00 x +true behind a new bubblewrap$/)
  expect(await left()).toEqual({ sandboxes: [], folders: [] })
})

it('with --json it prints every sample; Ctrl-C ends it, and leaves nothing either', async () => {
  const { stdout } = await croft('bench', 'exec', '--runs', '1', '--execs', '2', '--json')
  const samples = JSON.parse(stdout)
  expect(samples.exec).toHaveLength(2)
  expect(samples.bwrap).toHaveLength(2)
  expect(samples.perSecond).toHaveLength(1)
  const long = croft('bench', 'exec', '--runs', '1000')
  await using server = await Server.connect()
  await expect.poll(async () => (await Sandbox.list({ server })).length, { timeout: 20_000 }).toBeGreaterThan(0)
  long.kill('SIGINT')
  expect((await long).exitCode).toBe(130)
  expect(await left()).toEqual({ sandboxes: [], folders: [] })
})
