import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type CreateOptions, Sandbox } from '../../sdk/index.ts'
import { filesOrigin, type Origin } from '../fixtures/origin.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

const MAIN = join(import.meta.dirname, '../../dist/sdk/cli/main.js')

let fixture: SdkSandbox | undefined
let server: Origin
let made: CreateOptions

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap', 'curl'))) return
  fixture = await sdkSandbox()
  server = await filesOrigin(new Map([['/hello', 'hello\n']]))
  made = { server: fixture.server, codebase: fixture.sandbox.codebaseId }
})

afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  await fixture?.[Symbol.asyncDispose]()
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap', 'curl'))

async function croft(...args: string[]) {
  const { exitCode, stdout, stderr } = await execa('node', [MAIN, ...args], {
    env: fixture?.user.env ?? {},
    reject: false,
    stdin: 'ignore',
  })
  return { exitCode, stdout, stderr }
}

describe('a sandbox with an allow-list', () => {
  test('reaches what is on it through its proxy, by commands and in sessions, and its trail says so', async () => {
    const network = { allow: [`127.0.0.1:${server.port}`] }
    await using sandbox = await Sandbox.create({ ...made, network })
    expect((await sandbox.info()).network).toEqual(network)
    const get = `curl -sS --noproxy "" http://127.0.0.1:${server.port}/hello`
    expect((await sandbox.run(get)).stdout).toBe('hello\n')
    const session = await sandbox.session()
    expect((await session.run(get)).stdout).toBe('hello\n')
    expect((await sandbox.run('curl -sS http://elsewhere.example/')).stdout).toContain('not in network.allow')

    // It is the same after a stop: the policy is the sandbox's, and the trail is of all its runs.
    await sandbox.stop()
    await sandbox.start()
    expect((await sandbox.run(get)).stdout).toBe('hello\n')
    const told = await sandbox.networkTrail()
    expect(told).toMatchObject([
      { host: '127.0.0.1', port: server.port, outcome: 'connected', count: 3, others: false },
      { host: 'elsewhere.example', port: 80, outcome: 'not_allowed', count: 1 },
    ])
    expect(told[0]?.firstAt?.getTime()).toBeLessThan(told[0]?.lastAt?.getTime() ?? 0)

    const shown = await croft('trail', sandbox.id, '--network')
    expect(shown.stdout.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['COUNT', 'OUTCOME', 'HOST'],
      ['3', 'connected', `127.0.0.1:${server.port}`],
      ['1', 'not allowed', 'elsewhere.example:80'],
    ])
    const refused = JSON.parse((await croft('trail', sandbox.id, '--network', '--refused', '--json')).stdout)
    expect(refused).toMatchObject({ uses: [{ host: 'elsewhere.example' }] })
  })

  test('finds the proxy in its environment, which a command may change', async () => {
    await using sandbox = await Sandbox.create({ ...made, network: { allow: [] } })
    const { stdout } = await sandbox.run('env')
    for (const name of ['HTTP_PROXY', 'https_proxy', 'ALL_PROXY', 'npm_config_https_proxy']) {
      expect(stdout).toContain(`\n${name}=http://127.0.0.1:3128\n`)
    }
    expect(stdout).toContain('\nno_proxy=localhost,.localhost,127.0.0.1,0.0.0.0,::1\n')
    expect((await sandbox.run('echo $HTTP_PROXY', { env: { HTTP_PROXY: 'mine' } })).stdout).toBe('mine\n')
  })

  test('that names what is no host is refused, with the entry’s number', async () => {
    const network = { allow: ['example.com', 'https://example.com/'] }
    await expect(Sandbox.create({ ...made, network })).rejects.toMatchObject({
      code: 'invalid_argument',
      field: 'network.allow[1]',
      message: expect.stringContaining('a scheme and a path are no part of it') as string,
    })
  })

  test('has at most so many entries', async () => {
    const entries = (count: number) => ({ allow: Array.from({ length: count }, (_, index) => `n${index}.example`) })
    await using sandbox = await Sandbox.create({ ...made, start: false, network: entries(256) })
    expect((await sandbox.info()).network).toEqual(entries(256))
    await expect(Sandbox.create({ ...made, network: entries(257) })).rejects.toMatchObject({ field: 'network.allow' })
  })

  test('is made by --allow', async () => {
    const result = await croft(
      ...['run', fixture?.project ?? '', '--allow', `127.0.0.1:${server.port}`, '--allow', 'example.com'],
      ...['-c', `curl -sS --noproxy "" http://127.0.0.1:${server.port}/hello`],
    )
    expect(result).toEqual({ exitCode: 0, stdout: 'hello', stderr: expect.any(String) as string })
    const wrong = await croft('run', fixture?.project ?? '', '--allow', '*', '-c', 'true')
    expect(wrong).toMatchObject({ exitCode: 125, stderr: expect.stringContaining('network.allow[0]') as string })
  })
})

test('a sandbox with the whole network has a device to it, and no proxy', async (context) => {
  await needs(context, 'slirp4netns')
  await using sandbox = await Sandbox.create({ ...made, network: 'full' })
  expect((await sandbox.info()).network).toBe('full')
  expect((await sandbox.run('grep -c tap0 /proc/net/dev; env | grep -ic proxy')).stdout).toBe('1\n0\n')
  const byFlag = await croft('run', fixture?.project ?? '', '--network', 'full', '-c', 'grep -c tap0 /proc/net/dev')
  expect(byFlag).toMatchObject({ exitCode: 0, stdout: '1' })
  const both = await croft('run', fixture?.project ?? '', '--network', 'full', '--allow', 'a.example', '-c', 'true')
  expect(both).toMatchObject({ exitCode: 125, stderr: expect.stringContaining('Give one of them') as string })
})

test('a sandbox without one has no proxy, and an empty trail', async () => {
  const { sandbox } = fixture as SdkSandbox
  expect((await sandbox.run('env | grep -ic proxy; curl -sS --max-time 5 http://127.0.0.1:3128/')).stdout).toBe('0\n')
  expect(await sandbox.networkTrail()).toEqual([])
})
