import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'

const CLI = join(import.meta.dirname, '../../dist/sdk/cli/main.js')

let dir: string
let file: string

beforeEach(() => {
  dir = temporaryServerDir()
  file = join(dir, 'audit.log')
})

afterEach(() => removeServerDir(dir))

const verify = () => execa('node', [CLI, 'audit', 'verify', file], { reject: false })
const told = () =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)

it('the audit log has who did what to which, what was refused, no secrets, and outlives kill -9', async () => {
  const killed = await ServerProcess.start(dir, '--audit-file', file)
  const { wire, token, id: tokenId } = await killed.as('alice', 'read-only')
  const { id: codebaseId } = await killed.wire.codebases.createCodebase({ name: 'of alice', ownerId: 'alice' })
  await wire.codebases.getCodebase({ codebaseId })
  await refusal(wire.codebases.deleteCodebase({ codebaseId }))
  await refusal(
    killed.connect(`unix://${killed.ready.socket}`, { token: `${token.slice(0, -4)}AAAA` }).server.getServerInfo({}),
  )
  await killed.end('SIGKILL')

  const lines = told()
  expect(lines.map(({ method, event }) => method ?? event)).toEqual([
    'the server began',
    'AccessService.CreateToken',
    'CodebaseService.CreateCodebase',
    'CodebaseService.DeleteCodebase',
    'ServerService.GetServerInfo',
  ])
  expect(lines[1]).toMatchObject({ who: 'own user', made: tokenId, code: 'OK' })
  expect(lines[2]).toMatchObject({ who: 'own user', made: codebaseId })
  const asAlice = { who: `token ${tokenId}`, owner: 'alice', role: 'read-only' }
  expect(lines[3]).toMatchObject({ ...asAlice, ids: [codebaseId], code: 'PERMISSION_DENIED', reason: 'role' })
  expect(lines[4]).toMatchObject({ who: 'nobody', code: 'UNAUTHENTICATED', from: expect.stringMatching(/^unix/) })
  expect(readFileSync(file, 'utf8')).not.toContain(token.slice(-43, -4))

  {
    await using again = await ServerProcess.start(dir, '--audit-file', file)
    await again.wire.access.revokeToken({ tokenId })
  }
  expect(told().slice(5)).toMatchObject([
    { event: 'the server began' },
    { method: 'AccessService.RevokeToken', ids: [tokenId] },
    { event: 'the server ended' },
  ])
  const whole = await verify()
  expect(whole).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('lines 1 to 8') })
  writeFileSync(file, readFileSync(file, 'utf8').replace('"who":"own user"', '"who":"somebody"'))
  const changed = await verify()
  expect(changed).toMatchObject({
    exitCode: 1,
    stdout: expect.stringContaining(`${file}:2: it is not as it was written`),
  })
})

it('over HTTP it has the address that called, whatever a header says', async () => {
  const first = join(dir, 'first')
  const flags = ['--http-listen', '127.0.0.1:0', '--first-token', first, '--audit-file', file]
  await using server = await ServerProcess.start(dir, ...flags)
  const headers = {
    authorization: `Bearer ${readFileSync(first, 'utf8').trim()}`,
    'content-type': 'application/json',
    'croft-peer': '203.0.113.7:1',
    'x-forwarded-for': '203.0.113.7',
  }
  const url = `http://127.0.0.1:${server.ready.http?.port}/v1/codebases`
  const made = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ name: 'p' }) })
  expect(made.status).toBe(200)
  await made.arrayBuffer()
  expect(told().at(-1)).toMatchObject({
    method: 'CodebaseService.CreateCodebase',
    from: expect.stringMatching(/^http 127\.0\.0\.1:\d+$/),
    who: expect.stringMatching(/^token tok_/),
  })
})
