import { once } from 'node:events'
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { credentials } from '@grpc/grpc-js'
import { execa } from 'execa'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Authority, type Certificate } from '../fixtures/certificates.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir } from '../fixtures/server-process.ts'
import { has, needs } from '../needs.ts'

const CLI = join(import.meta.dirname, '../../dist/sdk/cli/main.js')
const NOBODY = 65_534

let dir: string

beforeEach(() => {
  dir = temporaryServerDir()
})

afterEach(() => removeServerDir(dir))

describe('TLS', () => {
  let ours: Authority
  let theirs: Authority
  let own: Certificate
  const dirs: string[] = []
  /** One that asks clients for no certificate, and one that does. */
  let open: ServerProcess
  let mutual: ServerProcess

  async function start(pair: Certificate, ...flags: string[]): Promise<ServerProcess> {
    const at = temporaryServerDir()
    dirs.push(at)
    return ServerProcess.start(
      at,
      ...['--listen', '127.0.0.1:0', '--first-token', join(at, 'first')],
      ...['--tls-cert', pair.cert, '--tls-key', pair.key, ...flags],
    )
  }

  beforeAll(async () => {
    if (!(await has('openssl'))) return
    ours = await Authority.create()
    theirs = await Authority.create()
    own = await ours.issue('server')
    open = await start(own)
    mutual = await start(own, '--tls-client-ca', ours.ca)
  })

  afterAll(async () => {
    await open?.[Symbol.asyncDispose]()
    await mutual?.[Symbol.asyncDispose]()
    ours?.[Symbol.dispose]()
    theirs?.[Symbol.dispose]()
    for (const at of dirs) removeServerDir(at)
  })

  beforeEach((context) => needs(context, 'openssl'))

  const tokenOf = (server: ServerProcess) => readFileSync(join(server.dir, 'first'), 'utf8').trim()

  const secure = (server: ServerProcess, ca: Buffer, client?: Certificate) => ({
    token: tokenOf(server),
    tls:
      client === undefined
        ? credentials.createSsl(ca)
        : credentials.createSsl(ca, readFileSync(client.key), readFileSync(client.cert)),
  })

  it('lets a client in that trusts the authority, and a plain one not at all', async () => {
    const server = open
    const port = server.ready.address?.port ?? 0
    const { access } = server.connect(`127.0.0.1:${port}`, secure(server, ours.read()))
    expect((await access.getCaller({})).tokenId).toMatch(/^tok_/)
    const distrustful = server.connect(`127.0.0.1:${port}`, secure(server, theirs.read()))
    expect((await refusal(distrustful.access.getCaller({}))).code).toBe('UNAVAILABLE')

    const plain = server.connect(`127.0.0.1:${port}`, { token: secure(server, ours.read()).token })
    expect((await refusal(plain.access.getCaller({}))).code).toBe('UNAVAILABLE')
    const said = connectTcp(port, '127.0.0.1')
    const answered: Buffer[] = []
    said.on('data', (data: Buffer) => answered.push(data))
    said.on('error', () => undefined)
    said.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    await once(said, 'close')
    // A TLS alert of a few bytes at most: no settings, nothing of HTTP.
    expect(Buffer.concat(answered).length).toBeLessThan(16)
    expect((await access.getCaller({})).tokenId).toMatch(/^tok_/)
  })

  it('old versions of it are not spoken', async () => {
    const server = open
    const port = server.ready.address?.port ?? 0
    const socket = connectTls({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      maxVersion: 'TLSv1.1',
      minVersion: 'TLSv1',
    })
    const [error] = await once(socket, 'error')
    expect(error).toBeInstanceOf(Error)
  })

  it("with a client authority, a certificate of another one, or none, does not get as far as a token's", async () => {
    const server = mutual
    const address = `127.0.0.1:${server.ready.address?.port}`
    const client = await ours.issue('client')
    const stranger = await theirs.issue('client')
    const ca = ours.read()
    expect((await server.connect(address, secure(server, ca, client)).access.getCaller({})).tokenId).toMatch(/^tok_/)
    for (const certificate of [stranger, undefined]) {
      const { access } = server.connect(address, secure(server, ca, certificate))
      expect((await refusal(access.getCaller({}))).code).toBe('UNAVAILABLE')
    }
    const withoutToken = server.connect(address, { tls: secure(server, ca, client).tls })
    expect((await refusal(withoutToken.access.getCaller({}))).code).toBe('UNAUTHENTICATED')
  })

  it('the command line finds its way with the files that it is told', async () => {
    const server = mutual
    const client = await ours.issue('client')
    const env = {
      CROFT_SERVER: `https://localhost:${server.ready.address?.port}`,
      CROFT_TOKEN: tokenOf(server),
      ...{ CROFT_CA: ours.ca, CROFT_CLIENT_CERT: client.cert, CROFT_CLIENT_KEY: client.key },
    }
    const made = await execa('node', [CLI, 'token', 'create', 'ci', '--owner', 'alice', '--expires', '1h'], { env })
    expect(made.stdout).toMatch(/^croft_[0-9a-f]{16}_\S{43}$/)
    const asAlice = { ...env, CROFT_TOKEN: made.stdout }
    const listed = await execa('node', [CLI, 'token', 'list'], { env: asAlice, reject: false })
    expect(listed).toMatchObject({ exitCode: 125, stderr: expect.stringContaining('this caller is a user') })
    const { tokens } = JSON.parse((await execa('node', [CLI, 'token', 'list', '--json'], { env })).stdout)
    expect(tokens).toMatchObject([
      { name: 'first', role: 'admin' },
      { name: 'ci', owner: 'alice', role: 'user' },
    ])
    const id = tokens[1].id
    const rotated = await execa('node', [CLI, 'token', 'rotate', id], { env })
    expect(rotated.stdout).not.toBe(made.stdout)
    expect((await execa('node', [CLI, 'ls'], { env: asAlice, reject: false })).stderr).toContain('not valid')
    const now = { ...env, CROFT_TOKEN: rotated.stdout }
    expect((await execa('node', [CLI, 'ls'], { env: now, reject: false })).exitCode).toBe(0)
    await execa('node', [CLI, 'token', 'revoke', id], { env })
    expect((await execa('node', [CLI, 'ls'], { env: now, reject: false })).stderr).toContain('not valid')
  })

  it('a certificate that is not that of the key is told when the server starts', async () => {
    const other = await ours.issue('other')
    const wrong = start({ cert: own.cert, key: other.key })
    await expect(wrong).rejects.toThrow(/`tls`/)
  })
})

describe('the first token', () => {
  it('is for its file alone, which must be new, and is made once', async () => {
    const file = join(dir, 'first')
    writeFileSync(file, '')
    const listen = ['--listen', '127.0.0.1:0', '--first-token', file]
    await expect(ServerProcess.start(dir, ...listen)).rejects.toThrow(/`firstToken`.*EEXIST/)
    const fresh = ['--listen', '127.0.0.1:0', '--first-token', `${file}2`]
    {
      await using _ = await ServerProcess.start(dir, ...fresh)
      expect(statSync(`${file}2`).mode & 0o777).toBe(0o600)
    }
    await using again = await ServerProcess.start(dir, ...fresh)
    expect((await again.wire.access.listTokens({})).tokens).toHaveLength(1)
  })
})

describe('the unix socket', () => {
  it("is the server's own user's, where no other is named", async () => {
    await using server = await ServerProcess.start(dir)
    expect(statSync(server.ready.socket).mode & 0o777).toBe(0o600)
    expect(await server.wire.access.getCaller({})).toMatchObject({ ownerId: '', tokenId: '' })
  })

  it('knows others by their uid, whom it does not know needs a token', async (context) => {
    await needs(context, 'root')
    const config = join(dir, 'croft.yaml')
    writeFileSync(config, `peers:\n  - { uid: ${NOBODY}, owner: alice }\n`)
    await using server = await ServerProcess.start(dir, '--config', config)
    chmodSync(dir, 0o755)
    const { id: codebaseId } = await server.wire.codebases.createCodebase({ name: 'hers', ownerId: 'alice' })
    const { id: sandboxId } = await server.wire.sandboxes.createSandbox({ codebaseId })
    const { id: notHers } = await server.wire.codebases.createCodebase({ name: 'not hers' })
    await server.wire.sandboxes.createSandbox({ codebaseId: notHers })
    const { token } = await server.as('bob', 'user')
    const list = async (uid: number, env: Record<string, string> = {}) => {
      const args = [CLI, 'ls', '--json', '--server', `unix://${server.ready.socket}`]
      const words = ['--reuid', String(uid), '--clear-groups', process.execPath, ...args]
      const { stdout, stderr } = await execa('setpriv', words, { env, reject: false, cwd: '/' })
      return stdout === '' ? stderr : JSON.parse(stdout).sandboxes.map(({ id }: { id: string }) => id)
    }
    expect(await list(NOBODY)).toEqual([sandboxId])
    expect(await list(0)).toHaveLength(2)
    const stranger = 54_321
    expect(await list(stranger)).toContain('wants a token')
    expect(await list(stranger, { CROFT_TOKEN: token })).toEqual([])
  })
})
