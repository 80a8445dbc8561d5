import { connect as connectHttp2 } from 'node:http2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Tokens } from '../../server/access/tokens.ts'
import { limitsSchema } from '../../server/config/limits.ts'
import { pageOf } from '../../server/records/page.ts'
import type { TokenRecord } from '../../server/records/record-types.ts'
import type { Table } from '../../server/records/table.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'

const FEW_GUESSES = 5
const NOBODYS = `croft_0123456789abcdef_${'A'.repeat(43)}`

let dir: string
let server: ServerProcess
/** By TCP nobody comes in without a token. */
let tcp: string
const given: string[] = []

beforeAll(async () => {
  dir = temporaryServerDir()
  const first = `${dir}/first`
  const flags = ['--limit', `maxWrongTokensPerMinute=${FEW_GUESSES}`, '--log-level', 'trace']
  server = await ServerProcess.start(dir, '--listen', '127.0.0.1:0', '--first-token', first, ...flags)
  tcp = `127.0.0.1:${server.ready.address?.port}`
})

afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  removeServerDir(dir)
})

async function user(owner: string) {
  const made = await server.as(owner, 'user')
  given.push(made.token)
  return made
}

describe('on TCP', () => {
  it.each([
    ['no token', {}, 'token_missing'],
    ['one that nobody has', { token: NOBODYS }, 'token_invalid'],
    ['another scheme', { headers: { authorization: 'Basic Zm9vOmJhcg==' } }, 'token_malformed'],
    ['nothing after the scheme', { headers: { authorization: 'Bearer' } }, 'token_malformed'],
    ['two in one header', { headers: { authorization: `Bearer ${NOBODYS}, Bearer ${NOBODYS}` } }, 'token_malformed'],
    [
      'a name in a header of a proxy',
      { headers: { 'x-forwarded-user': 'admin', 'croft-owner': 'a' } },
      'token_missing',
    ],
    ['a token in the form of binary metadata', { headers: { 'x-authorization': NOBODYS } }, 'token_missing'],
  ])('%s is UNAUTHENTICATED', async (_, as, reason) => {
    const { access } = server.connect(tcp, as)
    expect(await refusal(access.getCaller({}))).toMatchObject({ code: 'UNAUTHENTICATED', reason })
  })

  it('a token says who is calling, and nothing else does', async () => {
    const { token, id } = await user('carol')
    const headers = { 'croft-owner': 'admin', 'x-forwarded-user': 'root' }
    const caller = await server.connect(tcp, { token, headers }).access.getCaller({})
    expect(caller).toMatchObject({ ownerId: 'carol', tokenId: id })
  })

  it('a second header of that name is not another caller', async () => {
    const [carol, dave] = [await user('carol'), await user('dave')]
    const client = connectHttp2(`http://${tcp}`)
    const answer = (authorization: string[]) =>
      new Promise<unknown>((resolve, reject) => {
        const headers = {
          ':method': 'POST',
          ':path': '/sandbox.v1.AccessService/GetCaller',
          'content-type': 'application/grpc',
          te: 'trailers',
          authorization: authorization as unknown as string,
        }
        const stream = client.request(headers)
        let status: unknown
        stream.on('response', (response) => {
          status = response['grpc-status']
        })
        stream.on('trailers', (trailers) => {
          status = trailers['grpc-status']
        })
        const body: Buffer[] = []
        stream.on('data', (data: Buffer) => body.push(data))
        stream.on('end', () => resolve([status, Buffer.concat(body).includes('dave')]))
        stream.on('error', reject)
        stream.end(Buffer.alloc(5))
      })
    try {
      const sent = [`Bearer ${carol.token}`, `Bearer ${dave.token}`]
      // Node does not even send two of them; whoever does finds the first one counting, or none.
      const outcome = await answer(sent).catch((error: Error) => error)
      expect(outcome instanceof Error || JSON.stringify(outcome) !== JSON.stringify(['0', true])).toBe(true)
    } finally {
      client.destroy()
    }
  })

  it('whoever guesses a token is not heard any more, with the right one either, and nobody else is', async () => {
    const [victim, other] = [await user('erin'), await user('frank')]
    const guess = `${victim.token.slice(0, -43)}${'B'.repeat(43)}`
    for (let at = 0; at < FEW_GUESSES; at += 1) {
      const { access } = server.connect(tcp, { token: guess })
      expect(await refusal(access.getCaller({}))).toMatchObject({ code: 'UNAUTHENTICATED' })
    }
    for (const token of [guess, victim.token]) {
      const { access } = server.connect(tcp, { token })
      expect(await refusal(access.getCaller({}))).toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        reason: 'too_many_wrong_tokens',
      })
    }
    expect((await server.connect(tcp, { token: other.token }).access.getCaller({})).ownerId).toBe('frank')
    // By the other door, from which nobody guessed.
    expect((await victim.wire.access.getCaller({})).ownerId).toBe('erin')
  })

  it('a server without a token does not listen, unless told so by an ugly name', async () => {
    const without = temporaryServerDir()
    try {
      await expect(ServerProcess.start(without, '--listen', '127.0.0.1:0')).rejects.toThrow(
        /`listen`.*croft token create/,
      )
      await using open = await ServerProcess.start(without, '--listen', '127.0.0.1:0', '--dangerously-let-anyone-in')
      const { access } = open.connect(`127.0.0.1:${open.ready.address?.port}`)
      expect(await access.getCaller({})).toMatchObject({ ownerId: '', tokenId: '' })
      const wrong = open.connect(`127.0.0.1:${open.ready.address?.port}`, { token: NOBODYS })
      expect((await refusal(wrong.access.getCaller({}))).code).toBe('UNAUTHENTICATED')
    } finally {
      removeServerDir(without)
    }
  })
})

describe('a revoked token', () => {
  it('ends what is under way with it, streams that wait on either side too', async () => {
    const { wire, id } = await user('grace')
    const { id: codebaseId } = await wire.codebases.createCodebase({ name: 'p' })
    const value = { codebaseId, filePath: 'f', totalSize: 10n }
    const never = new AbortController().signal
    const upload = refusal(wire.codebases.uploadFiles([{ content: { case: 'metadata', value } }], never))
    const other = (await user('grace')).wire
    await server.wire.access.revokeToken({ tokenId: id })
    expect(await upload).toMatchObject({ code: 'UNAUTHENTICATED', reason: 'token_invalid' })
    expect((await refusal(wire.access.getCaller({}))).code).toBe('UNAUTHENTICATED')
    expect((await other.codebases.getCodebase({ codebaseId })).id).toBe(codebaseId)
  })

  it('is not there any more after a restart, and the others are', async () => {
    const own = temporaryServerDir()
    try {
      let kept: string
      let gone: string
      {
        await using before = await ServerProcess.start(own)
        const [one, two] = [await before.as('a', 'user'), await before.as('b', 'user')]
        await before.wire.access.revokeToken({ tokenId: two.id })
        ;[kept, gone] = [one.token, two.token]
      }
      await using after = await ServerProcess.start(own)
      const socket = `unix://${after.ready.socket}`
      expect((await after.connect(socket, { token: kept }).access.getCaller({})).ownerId).toBe('a')
      expect((await refusal(after.connect(socket, { token: gone }).access.getCaller({}))).code).toBe('UNAUTHENTICATED')
    } finally {
      removeServerDir(own)
    }
  })
})

describe('with a clock of the test', () => {
  const limits = limitsSchema.parse({})
  let now = 1_000_000

  function tokens(maxTokens = limits.maxTokens): Tokens {
    const kept = new Map<string, TokenRecord>()
    let sequence = 0
    const table: Pick<Table<TokenRecord>, 'get' | 'put' | 'delete' | 'page' | 'nextSequence' | 'size'> = {
      get size() {
        return kept.size
      },
      get: (id) => kept.get(id),
      put: async (record) => {
        kept.set(record.id, record)
        return record
      },
      delete: async (...ids) => {
        for (const id of ids) kept.delete(id)
      },
      page: (request, matches) => pageOf(kept.values(), request, matches),
      nextSequence: () => {
        sequence += 1
        return sequence
      },
    }
    const records = { tokens: table as Table<TokenRecord> }
    return new Tokens({ limits: { ...limits, maxTokens } }, { records, nowMs: () => now })
  }

  const spec = { name: 'x', owner: 'o', role: 'user' } as const

  it('a token is taken to the millisecond before its time is over', async () => {
    const all = tokens()
    const { text, record } = await all.create({ ...spec, expiresInMs: 1000 })
    now += 999
    expect(all.find(text).record?.id).toBe(record.id)
    expect(all.isValid(record.id)).toBe(true)
    now += 1
    expect(all.find(text).record).toBeUndefined()
    expect(all.isValid(record.id)).toBe(false)
  })

  it('of a rotated one both secrets are taken for as long as was said, then the new one', async () => {
    const all = tokens()
    const before = await all.create(spec)
    const after = await all.rotate(before.record.id, { overlapMs: 500 })
    now += 499
    for (const { text } of [before, after]) expect(all.find(text).record?.id).toBe(before.record.id)
    now += 1
    expect(all.find(before.text).record).toBeUndefined()
    expect(all.find(after.text).record?.id).toBe(before.record.id)
    const last = await all.rotate(before.record.id, { overlapMs: 0 })
    expect(all.find(after.text).record).toBeUndefined()
    expect(all.find(last.text).record?.id).toBe(before.record.id)
  })

  it('what is kept of it does not let anybody in', async () => {
    const all = tokens()
    const { text, record } = await all.create(spec)
    const kept = JSON.stringify(record)
    expect(kept).not.toContain(text.slice(-43))
    expect(all.find(`${text.slice(0, -43)}${record.hash.slice(0, 43)}`).record).toBeUndefined()
  })

  it('there are as many as the limit says, and no more', async () => {
    const all = tokens(2)
    await all.create(spec)
    await all.create(spec)
    await expect(all.create(spec)).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' })
  })

  it('one that is no admin has an owner', async () => {
    await expect(tokens().create({ ...spec, owner: '' })).rejects.toMatchObject({ field: 'owner_id' })
  })
})

it('the log has who called and for what, and neither it nor an error has a token', async () => {
  const { token, wire, id } = await user('heidi')
  const wrong = `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`
  const answers = [
    await refusal(wire.codebases.getCodebase({ codebaseId: 'cb_0123456789abcdef' })),
    await refusal(server.connect(tcp, { token: wrong }).access.getCaller({})),
    await refusal(server.connect(tcp, { headers: { authorization: token } }).access.getCaller({})),
    await refusal(server.connect(tcp, { headers: { authorization: `Bearer ${token} x` } }).access.getCaller({})),
  ]
  await expect.poll(() => server.log).toContain(`"caller":"token ${id}","ids":["cb_0123456789abcdef"]`)
  const told = `${server.log}${JSON.stringify(answers.map(({ details, error }) => [details, error?.metadata, error]))}`
  for (const secret of [...given, wrong].map((text) => text.slice(-43))) expect(told).not.toContain(secret)
})
