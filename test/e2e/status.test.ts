import { once } from 'node:events'
import { statSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { needs } from '../needs.ts'

let dir: string
let socketPath: string

beforeEach(() => {
  dir = temporaryServerDir()
  socketPath = join(dir, 'status.sock')
})

afterEach(() => removeServerDir(dir))

async function ask(path: string, method = 'GET'): Promise<{ status: number | undefined; body: string }> {
  const asked = request({ socketPath, path, method, agent: false }).end()
  const [response] = await once(asked, 'response')
  return { status: response.statusCode, body: await text(response) }
}

async function metrics(): Promise<Map<string, number>> {
  const { body } = await ask('/metrics')
  const lines = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  for (const line of lines) expect(line).toMatch(/^[a-z_0-9]+(\{([a-z_]+="[^"]*",?)+\})? (-?[\d.e+-]+|NaN|[+-]Inf)$/)
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )
}

it('metrics tell of sandboxes, calls, commands, bytes and memory, and of nobody by name', async (context) => {
  await needs(context, 'root', 'fuse', 'bwrap')
  await using server = await ServerProcess.start(dir, '--status-socket', socketPath)
  expect(statSync(socketPath).mode & 0o777).toBe(0o600)
  const { wire } = await server.as('alice', 'user')
  const { id: codebaseId } = await wire.codebases.createCodebase({ name: 'secret-project' })
  const { id: sandboxId } = await wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true })
  await wire.sandboxes.createSandbox({ codebaseId })
  await wire.sandboxes.exec({ sandboxId, command: 'true' })
  await refusal(wire.sandboxes.getSandbox({ sandboxId: 'sb_0123456789abcdef' }))
  const found = await metrics()
  const numbers = Object.fromEntries(found)
  expect(numbers).toMatchObject({
    'croft_sandboxes{state="running",runtime="bwrap"}': 1,
    'croft_sandboxes{state="pending",runtime="bwrap"}': 1,
    croft_mounts: 1,
    croft_codebases: 1,
    croft_tokens: 1,
    'croft_calls_total{method="SandboxService.Exec",code="OK"}': 1,
    'croft_calls_total{method="SandboxService.GetSandbox",code="NOT_FOUND"}': 1,
    'croft_commands_total{method="SandboxService.Exec",code="OK"}': 1,
    'croft_call_seconds_count{method="SandboxService.Exec"}': 1,
    croft_changes_waiting: 0,
  })
  for (const name of ['process_resident_memory_bytes', 'croft_received_bytes_total', 'croft_sent_bytes_total'])
    expect(found.get(name)).toBeGreaterThan(100)
  expect(JSON.stringify(numbers)).not.toMatch(/alice|secret-project|sb_|cb_|tok_/)
})

it('healthz answers while the server does, readyz with what is in the way', async () => {
  const flags = ['--status-socket', socketPath, '--limit', `minFreeBytes=${9e14}`]
  await using _ = await ServerProcess.start(dir, ...flags)
  expect(await ask('/healthz')).toEqual({ status: 200, body: 'ok\n' })
  const { status, body } = await ask('/readyz')
  expect(status).toBe(503)
  expect(JSON.parse(body).checks).toMatchObject({ server: 'ok', disk: expect.stringContaining('bytes are free') })
  expect((await ask('/healthz', 'POST')).status).toBe(405)
  expect((await ask('/etc/passwd')).status).toBe(404)
})

it('a server that can start sandboxes is ready', async (context) => {
  await needs(context, 'root', 'fuse', 'bwrap')
  await using _ = await ServerProcess.start(dir, '--status-socket', socketPath)
  expect(JSON.parse((await ask('/readyz')).body)).toEqual({
    ready: true,
    checks: { server: 'ok', filesystem: 'ok', runtime: 'ok', disk: 'ok' },
  })
})

it('it is for this host only, and a client that says nothing holds nobody up', async () => {
  await expect(ServerProcess.start(dir, '--status-listen', '0.0.0.0:0')).rejects.toThrow(/`status.listen`.*loop-back/)
  await using _ = await ServerProcess.start(dir, '--status-socket', socketPath)
  const silent = connect(socketPath)
  await once(silent, 'connect')
  expect((await ask('/healthz')).status).toBe(200)
  silent.destroy()
})
