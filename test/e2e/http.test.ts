import { readFile, writeFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Validator } from '@seriousme/openapi-schema-validator'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { has, needs } from '../needs.ts'

let dir: string
let server: ServerProcess
let base: string
let token: string

const ORIGIN = 'https://app.example.com'

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  dir = temporaryServerDir()
  const file = join(dir, 'token')
  const config = join(dir, 'config.yaml')
  await writeFile(config, `http:\n  allowedOrigins: [${ORIGIN}]\n`)
  server = await ServerProcess.start(
    dir,
    '--http-listen',
    '127.0.0.1:0',
    '--config',
    config,
    '--first-token',
    file,
    '--limit',
    'maxMessageBytes=1048576',
  )
  base = `http://127.0.0.1:${server.ready.http?.port}`
  token = (await readFile(file, 'utf8')).trim()
})

afterAll(async () => {
  if (server === undefined) return
  expect(await server.end('SIGTERM')).toBe(0)
  removeServerDir(dir)
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

interface Options {
  readonly json?: unknown
  readonly body?: string | Buffer
  readonly headers?: Record<string, string>
}

function call(method: string, path: string, { json, body, headers }: Options = {}) {
  return fetch(`${base}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(json === undefined ? (body === undefined ? {} : { body }) : { body: JSON.stringify(json) }),
  })
}

// biome-ignore lint/suspicious/noExplicitAny: what JSON holds is what the tests are about
async function answer(...args: Parameters<typeof call>): Promise<any> {
  const response = await call(...args)
  return { ...((await response.json()) as object), httpStatus: response.status }
}

describe('over HTTP', () => {
  let codebaseId: string
  let sandboxId: string

  test('a codebase is made, filled, listed and read', async () => {
    const made = await answer('POST', '/v1/codebases', { json: { name: 'project', ownerId: 'me' } })
    codebaseId = made.id
    const put = await answer('PUT', `/v1/codebases/${codebaseId}/files/src/a%20b.txt`, { body: 'hello' })
    expect(put).toMatchObject({ httpStatus: 200, filePath: 'src/a b.txt', size: '5' })
    expect(await answer('GET', `/v1/codebases/${codebaseId}/files?recursive=true`)).toMatchObject({
      files: expect.arrayContaining([expect.objectContaining({ path: 'src/a b.txt', size: '5' })]),
    })
    const got = await call('GET', `/v1/codebases/${codebaseId}/files/src/a%20b.txt`)
    expect([got.headers.get('content-type'), await got.text()]).toEqual(['application/octet-stream', 'hello'])
    expect(await answer('GET', '/v1/codebases?page_size=1')).toMatchObject({ codebases: [{ id: codebaseId }] })
  })

  test('a sandbox is made, started and used', async () => {
    const made = await answer('POST', '/v1/sandboxes', { json: { codebaseId, preset: 'development' } })
    sandboxId = made.id
    expect(made).toMatchObject({ httpStatus: 200, status: 'SANDBOX_STATUS_PENDING' })
    await answer('POST', `/v1/sandboxes/${sandboxId}/start`)
    expect(
      await answer('POST', `/v1/sandboxes/${sandboxId}/exec`, { json: { command: 'cat src/*; exit 3' } }),
    ).toMatchObject({
      stdout: 'hello',
      exitCode: 3,
    })
  })

  test('a stream of answers is a stream of events, and the last one says how it ended', async () => {
    const response = await call('POST', `/v1/sandboxes/${sandboxId}/exec/stream`, { json: { command: 'echo one' } })
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const events = (await response.text()).trim().split('\n\n')
    expect(JSON.parse(events[0]?.replace(/^data: /, '') ?? '')).toEqual({
      type: 'OUTPUT_TYPE_STDOUT',
      data: Buffer.from('one\n').toString('base64'),
    })
    expect(events.at(-1)).toBe('event: end\ndata: {}')
  })

  test('a file of the view is written and read as a body, whatever its size', async () => {
    const large = Buffer.alloc(5_000_000, 'x')
    const path = `/v1/sandboxes/${sandboxId}/files/new/large`
    expect(await answer('PUT', `${path}?parents=true&principal=PRINCIPAL_OWNER`, { body: large })).toMatchObject({
      size: '5000000',
    })
    const got = await call('GET', `${path}?principal=PRINCIPAL_OWNER&offset=1000`)
    expect((await got.arrayBuffer()).byteLength).toBe(4_999_000)
    const changes = await (await call('GET', `/v1/sandboxes/${sandboxId}/changes`)).text()
    expect(changes).toContain('CHANGE_KIND_CREATED')
  })

  test('every other method is at its full name', async () => {
    expect(await answer('POST', '/sandbox.v1.SandboxService/ListPresets', { json: {} })).toMatchObject({
      presets: expect.arrayContaining([expect.objectContaining({ name: 'agent-safe' })]),
    })
    expect(
      await answer('POST', '/sandbox.v1.FileService/StatFile', {
        json: { sandboxId, path: Buffer.from('src').toString('base64') },
      }),
    ).toMatchObject({ kind: 'FILE_KIND_DIRECTORY' })
  })

  test('a deadline is the one of the call', async () => {
    const slow = { json: { command: 'sleep 60' }, headers: { 'grpc-timeout': '200m' } }
    expect(await answer('POST', `/v1/sandboxes/${sandboxId}/exec`, slow)).toMatchObject({ httpStatus: 504, code: 4 })
  })

  test('a client that goes away ends its command', async () => {
    const gone = new AbortController()
    const response = await fetch(`${base}/v1/sandboxes/${sandboxId}/exec/stream`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ command: 'echo started; exec sleep 86399' }),
      signal: gone.signal,
    })
    await response.body?.getReader().read()
    gone.abort()
    const sleeps = async () =>
      (
        await answer('POST', `/v1/sandboxes/${sandboxId}/exec`, { json: { command: 'pgrep -f 86399 | wc -l' } })
      ).stdout.trim()
    await expect.poll(sleeps).toBe('1') // the shell that looks
  })
})

describe('what is wrong', () => {
  test.each([
    ['an unknown id', 'GET', '/v1/sandboxes/sb_0000000000000000', {}, 404, 5],
    ['a field that is none', 'POST', '/v1/codebases', { json: { nmae: 'x' } }, 400, 3],
    ['a field of the query that is none', 'GET', '/v1/codebases?size=3', {}, 400, 3],
    ['a number that is none', 'GET', '/v1/codebases?page_size=many', {}, 400, 3],
    [
      'a body that is no JSON',
      'POST',
      '/v1/codebases',
      { body: '{', headers: { 'content-type': 'application/json' } },
      400,
      3,
    ],
    [
      'a body of another type',
      'POST',
      '/v1/codebases',
      { body: '{}', headers: { 'content-type': 'text/plain' } },
      415,
      3,
    ],
    ['a body over the limit', 'POST', '/v1/codebases', { json: { name: 'x'.repeat(1_048_576) } }, 413, 8],
    ['a path where nothing is', 'GET', '/v1/nothing', {}, 404, 5],
    ['a verb that a path has not', 'PATCH', '/v1/codebases', {}, 405, 12],
    ['a method that streams both ways', 'POST', '/sandbox.v1.CodebaseService/PutTree', { json: {} }, 501, 12],
    ['no token', 'GET', '/v1/codebases', { headers: { authorization: '' } }, 401, 16],
    ['a wrong token', 'GET', '/v1/codebases', { headers: { authorization: 'Bearer croft_0000' } }, 401, 16],
  ] as const)('%s is told as google.rpc.Status', async (_title, method, path, options, httpStatus, code) => {
    expect(await answer(method, path, options)).toMatchObject({ httpStatus, code, message: expect.any(String) })
  })

  test('a field is named in the details', async () => {
    const refused = await answer('POST', '/v1/sandboxes', { json: { codebaseId: '' } })
    expect(refused.details).toContainEqual(
      expect.objectContaining({
        '@type': 'type.googleapis.com/google.rpc.BadRequest',
        fieldViolations: [expect.objectContaining({ field: expect.any(String) })],
      }),
    )
  })
})

describe('a page in a browser', () => {
  test('of an origin that is allowed may call, and is told so', async () => {
    const preflight = await call('OPTIONS', '/v1/codebases', { headers: { origin: ORIGIN } })
    expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([204, ORIGIN])
  })

  test('of any other may not, whatever it sends', async () => {
    const headers = { origin: 'https://evil.example.com' }
    const refused = await call('POST', '/v1/codebases', { json: { name: 'x' }, headers })
    expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([403, null])
  })

  test('that found another name for this address may not, without a token', async () => {
    const answered = await new Promise<string>((resolve, reject) => {
      const sent = httpRequest(`${base}/v1/codebases`, { headers: { host: 'rebound.example.com' } }, (response) => {
        text(response).then(resolve, reject)
      })
      sent.on('error', reject)
      sent.end()
    })
    expect(JSON.parse(answered)).toMatchObject({ code: 7 })
  })
})

test('the document of OpenAPI is valid and has every method', async () => {
  const document = (await (await call('GET', '/openapi.json')).json()) as { paths: Record<string, object> }
  const result = await new Validator().validate(document)
  expect(result).toEqual({ valid: true })
  expect(document.paths).toHaveProperty(['/v1/sandboxes/{sandbox_id}/exec', 'post'])
  expect(document.paths).toHaveProperty(['/sandbox.v1.SnapshotService/ForkSandbox', 'post'])
})
