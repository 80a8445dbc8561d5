import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openBwrapHouse } from '../fixtures/bwrap-sandbox.ts'
import { filesOrigin, type Origin, origin } from '../fixtures/origin.ts'
import { ownAddresses } from '../fixtures/own-addresses.ts'
import { type ProxiedSandbox, proxiedSandbox } from '../fixtures/proxied-sandbox.ts'
import type { RuntimeHouse } from '../fixtures/runtime-house.ts'
import { needs } from '../needs.ts'

let house: RuntimeHouse
/** Stands for what must not be reached: whatever gets to it is in `requests`. */
let secret: Origin
const servers: Server[] = []

beforeEach(async (context) => {
  await needs(context, 'bwrap', 'curl', 'python3')
  house = openBwrapHouse()
  secret = await filesOrigin(new Map([['/', 'secret\n']]))
})

afterEach(async () => {
  await house?.dispose()
  await secret?.[Symbol.asyncDispose]()
  for (const server of servers.splice(0)) server.close()
})

/** What a raw conversation with the proxy gives, each line of `says` ended by CR LF. */
function talk(sandbox: ProxiedSandbox, ...says: string[]): Promise<string> {
  const script = `
import socket, sys
s = socket.create_connection(("127.0.0.1", 3128))
said = b""
for say in sys.argv[1:]:
    s.sendall(say.encode("latin1").decode("unicode_escape").encode("latin1"))
    if say is not sys.argv[-1]:
        said += s.recv(65536)
while True:
    try: piece = s.recv(65536)
    except ConnectionResetError: break
    if not piece: break
    said += piece
sys.stdout.buffer.write(said)`
  return sandbox
    .run('python3', '-c', script, ...says.map((say) => say.replaceAll('\n', '\\r\\n')))
    .then(({ stdout }) => stdout.toString('latin1'))
}

describe('what is not named cannot be reached', () => {
  it('by its address, in whatever form, over any protocol', async () => {
    const { port } = secret
    const sandbox = await proxiedSandbox(house, { allow: ['packages.test', `packages.test:${port}`, '*.test'] })
    const forms = [
      '127.0.0.1',
      '127.1',
      '2130706433',
      '0x7f000001',
      '0177.0.0.1',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '0.0.0.0',
    ]
    const urls = forms.map((host) => `http://${host}:${port}/`).join(' ')
    const each = (how: string) => `for u in ${urls}; do curl -sS -g --noproxy "" ${how} $u; done`
    expect(await sandbox.sh(each(''))).not.toContain('secret')
    expect(await sandbox.sh(each('--proxytunnel'))).not.toContain('secret')
    expect(await sandbox.sh(each('--proxy socks5h://127.0.0.1:3128'))).not.toContain('secret')
    expect(await sandbox.sh(each('--proxy socks5://127.0.0.1:3128'))).not.toContain('secret')
    expect(secret.requests).toEqual([])
    expect(Object.keys(sandbox.trail()).filter((use) => !use.endsWith('not_allowed'))).toEqual([])
  })

  it('by a name that leads to a private, link-local, loop-back, shared or metadata address', async () => {
    const { port } = secret
    const addresses = [
      ...['127.0.0.1', '10.0.0.1', '172.16.0.1', '192.168.0.1', '169.254.169.254', '100.100.100.200', '0.0.0.0'],
      ...['224.0.0.1', '255.255.255.255', '::1', '::', 'fd00:ec2::254', 'fe80::1', 'ff02::1', '::ffff:127.0.0.1'],
      ...['::ffff:169.254.169.254', '64:ff9b::7f00:1', '2002:7f00:1::', '::127.0.0.1'],
    ]
    const names = Object.fromEntries(addresses.map((address, index) => [`n${index}.test`, [address]]))
    const sandbox = await proxiedSandbox(house, { allow: [`*.test:${port}`], names })
    const urls = Object.keys(names).map((name) => `http://${name}:${port}/`)
    expect(await sandbox.sh(`curl -sS ${urls.join(' ')}`)).not.toContain('secret')
    expect(sandbox.trail()).toEqual(
      Object.fromEntries(Object.keys(names).map((name) => [`${name}:${port} private_address`, 1])),
    )
    expect(secret.requests).toEqual([])
  })

  it('by a name that leads to an address of the host itself', async (context) => {
    await needs(context, 'own-address')
    const own = ownAddresses()
    const sandbox = await proxiedSandbox(house, { allow: [`own.test:${secret.port}`], names: { 'own.test': own } })
    expect(await sandbox.sh(`curl -sS http://own.test:${secret.port}/`)).toContain('not public')
  })

  it('by a name that leads elsewhere the second time', async () => {
    const { port } = secret
    const answers = [['192.0.2.1'], ['127.0.0.1']]
    let asked = 0
    const sandbox = await proxiedSandbox(house, {
      allow: [`rebound.test:${port}`, `192.0.2.1:${port}`],
      names: { 'rebound.test': () => answers[Math.min(asked++, 1)] ?? [] },
      limits: { proxyConnectMs: 1_000 },
    })
    // What was checked is what is connected to: nobody is there, and nothing is looked up anew.
    expect(await sandbox.sh(`curl -sS http://rebound.test:${port}/`)).toContain('cannot be reached')
    expect(asked).toBe(1)
    expect(await sandbox.sh(`curl -sS http://rebound.test:${port}/`)).toContain('not public')
    expect(secret.requests).toEqual([])
  })

  it('around the proxy: no address, no name, no socket of the host', async () => {
    const sandbox = await proxiedSandbox(house, { allow: ['127.0.0.1'] })
    expect(await sandbox.sh('cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d " "')).toBe('lo\n')
    expect(await sandbox.sh(`curl -sS --noproxy "*" http://127.0.0.1:${secret.port}/ http://1.1.1.1/`)).not.toContain(
      'secret',
    )
    expect(await sandbox.sh('getent hosts localhost packages.test example.org | wc -l')).toBe('1\n')
    const path = join(house.viewPath, '..', 'host.sock')
    for (const at of ['\0croft-abstract', path]) await listenOn(at)
    const reach = (at: string) =>
      sandbox.run('python3', '-c', `import socket\ns=socket.socket(socket.AF_UNIX)\ns.connect(${at})\nprint("reached")`)
    expect((await reach('"\\0croft-abstract"')).stdout.toString()).toBe('')
    expect((await reach(JSON.stringify(path))).stdout.toString()).toBe('')
  })
})

async function listenOn(path: string): Promise<void> {
  const server = createServer()
  servers.push(server)
  await once(server.listen(path), 'listening')
}

describe('a request that two could read differently', () => {
  let allowed: Origin
  let sandbox: ProxiedSandbox

  beforeEach(async () => {
    allowed = await origin((request, response) => {
      let bytes = 0
      request.on('data', (piece: Buffer) => {
        bytes += piece.length
      })
      request.on('end', () => response.end(`${bytes} bytes\n`))
    })
    const { port } = allowed
    sandbox = await proxiedSandbox(house, {
      allow: [`packages.test:${port}`, `127.0.0.1:${port}`],
      names: { 'packages.test': ['127.0.0.1'], 'secret.test': ['127.0.0.1'] },
    })
  })

  afterEach(() => allowed?.[Symbol.asyncDispose]())

  it('is for whom its URL names, whatever its Host says', async () => {
    const said = await talk(
      sandbox,
      `GET http://packages.test:${allowed.port}/a HTTP/1.1\nHost: secret.test\nConnection: close\n\n`,
    )
    expect(said).toContain('0 bytes')
    expect(allowed.requests).toEqual([`GET /a packages.test:${allowed.port}`])
  })

  it('is decided for itself, as the second on one connection too', async () => {
    const first = `GET http://packages.test:${allowed.port}/a HTTP/1.1\nHost: x\n\n`
    const second = `GET http://secret.test:${secret.port}/ HTTP/1.1\nHost: packages.test:${allowed.port}\nConnection: close\n\n`
    const said = await talk(sandbox, first, second)
    expect(said).toContain('0 bytes')
    expect(said).toContain('secret.test is not in network.allow')
    expect(allowed.requests).toEqual([`GET /a packages.test:${allowed.port}`])
    expect(secret.requests).toEqual([])
  })

  it('has an answer before the next one is made of it, however many come at once', async () => {
    const one = `GET http://packages.test:${allowed.port}/a HTTP/1.1\nHost: x\n\n`
    expect((await talk(sandbox, one.repeat(3))).match(/0 bytes/g)).toHaveLength(1)
    expect(allowed.requests).toHaveLength(1)
    await talk(sandbox, one.repeat(500))
    expect(allowed.requests.length).toBeLessThanOrEqual(2)
    expect(await talk(sandbox, one.replace('\n\n', '\nConnection: close\n\n'))).toContain('0 bytes')
  })

  it('does not become two on the other side', async () => {
    const inner = `GET /smuggled HTTP/1.1\nHost: x\n\n`
    const post = `POST http://packages.test:${allowed.port}/p HTTP/1.1\nHost: x\n`
    const tries = [
      `${post}Content-Length: 4\nTransfer-Encoding: chunked\n\n0\n\n${inner}`,
      `${post}Transfer-Encoding: chunked\nContent-Length: 4\n\n0\n\n${inner}`,
      `${post}Transfer-Encoding: chunked, identity\n\n0\n\n${inner}`,
      `${post}Transfer-Encoding : chunked\n\n0\n\n${inner}`,
      `${post}Content-Length: 0\nContent-Length: 40\n\n${inner}`,
      `${post}Content-Length: +0\n\n${inner}`,
      `${post}Content-Length: 3\n\nabc${inner}`,
      `GET http://packages.test:${allowed.port}/\\x0d\\x0aX:y HTTP/1.1\nHost: x\n\n`,
      `GET http://packages.test:${allowed.port}/ HTTP/1.1\nHost: x\nA: b\\x0aGET /smuggled HTTP/1.1\n\n`,
      `GET http://packages.test:${allowed.port}/ HTTP/1.1\nHost: x\nConnection: content-length\nContent-Length: ${inner.length + 4}\n\n${inner}`,
    ]
    // A conversation that the proxy would keep open is over after a short time.
    const { port } = allowed
    const hasty = await proxiedSandbox(house, {
      allow: [`packages.test:${port}`, `127.0.0.1:${port}`],
      names: { 'packages.test': ['127.0.0.1'] },
      limits: { proxyHeadMs: 500 },
    })
    for (const attempt of tries) await talk(hasty, attempt)
    expect(allowed.requests.filter((line) => line.includes('smuggled') || line.startsWith('X'))).toEqual([])
  })

  it('and names a host in a way that hides another is refused', async () => {
    const { port } = secret
    const targets = [
      ...[`http://packages.test:${allowed.port}@secret.test:${port}/`, `http://secret.test:${port}#@packages.test/`],
      ...[
        `http://secret.test:${port}\\\\@packages.test:${allowed.port}/`,
        `//secret.test:${port}/`,
        `/`,
        `ftp://packages.test/`,
      ],
      ...[`http://packages.test%2e@127.0.0.1:${port}/`, `http:secret.test:${port}/`, `http:///secret.test:${port}/`],
    ]
    for (const target of targets) {
      const said = await talk(sandbox, `GET ${target} HTTP/1.1\nHost: packages.test\nConnection: close\n\n`)
      expect(said).toMatch(/^HTTP\/1\.1 (400|403)/)
    }
    for (const target of [
      `packages.test@secret.test:${port}`,
      `packages.test`,
      `:80`,
      `packages.test:80:90`,
      `packages.test:-1`,
    ]) {
      expect(await talk(sandbox, `CONNECT ${target} HTTP/1.1\nHost: packages.test\n\n`)).toMatch(
        /^HTTP\/1\.1 (400|403)/,
      )
    }
    expect(secret.requests).toEqual([])
  })

  it('keeps what is between the program and the proxy from the server', async () => {
    const seen: string[][] = []
    await using watched = await origin((request, response) => {
      seen.push(request.rawHeaders)
      response.end()
    })
    const other = await proxiedSandbox(house, {
      allow: [`packages.test:${watched.port}`, `127.0.0.1:${watched.port}`],
      names: { 'packages.test': ['127.0.0.1'] },
    })
    await talk(
      other,
      `GET http://packages.test:${watched.port}/ HTTP/1.1\nHost: x\nProxy-Authorization: Basic eA==\nX-Mine: 1\nX-Hop: 2\nConnection: close, x-hop\n\n`,
    )
    expect(seen).toEqual([['X-Mine', '1', 'Host', `packages.test:${watched.port}`, 'Connection', 'close']])
  })
})

describe('a program that means harm to the proxy', () => {
  it('is held to a number of connections, and others are not held up', async () => {
    const sandbox = await proxiedSandbox(house, { allow: [], limits: { maxProxyConnections: 8 } })
    const flood = `
import socket
held = []
for i in range(200):
    s = socket.socket(); s.setblocking(False)
    try: s.connect(("127.0.0.1", 3128))
    except BlockingIOError: pass
    held.append(s)
print(len(held))
`
    const other = await proxiedSandbox(house, { allow: [] })
    const flooding = sandbox.run('python3', '-c', `${flood}import sys; sys.stdout.flush(); sys.stdin.read()`)
    expect(await other.sh('curl -sS http://a.test/')).toContain('not in network.allow')
    expect((await flooding).stdout.toString()).toBe('200\n')
    expect(await sandbox.sh('curl -sS http://a.test/')).toContain('not in network.allow')
  })

  it('is cut off when it does not say what it wants, or says too much of it', async () => {
    const hasty = await proxiedSandbox(house, { allow: [], limits: { proxyHeadMs: 200 } })
    const slow = 'import socket\ns=socket.create_connection(("127.0.0.1",3128))\ns.sendall(b"GET ht")\nprint(s.recv(9))'
    expect((await hasty.run('python3', '-c', slow)).stderr.toString()).toContain('ConnectionResetError')
    const sandbox = await proxiedSandbox(house, { allow: [], limits: { maxProxyHeadBytes: 2048 } })
    expect(await talk(sandbox, `GET http://a.test/ HTTP/1.1\nHost: a\nX: ${'x'.repeat(2048)}\n\n`)).toMatch(
      /^HTTP\/1\.1 431/,
    )
    expect(await talk(sandbox, `GET http://a.test/${'x'.repeat(4096)} HTTP/1.1\nHost: a\n\n`)).toMatch(
      /^HTTP\/1\.1 (431|400)/,
    )
  })

  it('is cut off when neither side says anything for long', async () => {
    const silent = createServer(() => undefined)
    servers.push(silent)
    await once(silent.listen(0, '127.0.0.1'), 'listening')
    const { port } = silent.address() as AddressInfo
    const allow = [`packages.test:${port}`, `127.0.0.1:${port}`]
    const names = { 'packages.test': ['127.0.0.1'] }
    const sandbox = await proxiedSandbox(house, { allow, names, limits: { proxyIdleMs: 200 } })
    expect(await talk(sandbox, `CONNECT packages.test:${port} HTTP/1.1\nHost: x\n\n`)).toMatch(/^HTTP\/1\.1 200/)
    const socks = `\\x05\\x01\\x00\\x05\\x01\\x00\\x03\\x0dpackages.test`
    const portBytes = port.toString(16).padStart(4, '0').replace(/../g, '\\x$&')
    expect((await talk(sandbox, socks + portBytes)).slice(0, 4)).toBe('\u0005\u0000\u0005\u0000')
  })

  it.each([
    ['no methods', '\\x05\\x00', '\\x05\\xff'],
    ['only a password', '\\x05\\x01\\x02', '\\x05\\xff'],
    ['BIND', '\\x05\\x01\\x00\\x05\\x02\\x00\\x01\\x7f\\x00\\x00\\x01\\x00\\x50', '\\x05\\x00\\x05\\x07'],
    ['UDP', '\\x05\\x01\\x00\\x05\\x03\\x00\\x01\\x7f\\x00\\x00\\x01\\x00\\x50', '\\x05\\x00\\x05\\x07'],
    ['an address of no kind', '\\x05\\x01\\x00\\x05\\x01\\x00\\x09\\x00', '\\x05\\x00\\x05\\x08'],
    ['a name of nothing', '\\x05\\x01\\x00\\x05\\x01\\x00\\x03\\x00\\x00\\x50', '\\x05\\x00\\x05\\x01'],
    ['a name with a NUL', '\\x05\\x01\\x00\\x05\\x01\\x00\\x03\\x06a\\x00.com\\x00\\x50', '\\x05\\x00\\x05\\x01'],
    [
      'loop-back by number',
      '\\x05\\x01\\x00\\x05\\x01\\x00\\x01\\x7f\\x00\\x00\\x01\\x00\\x50',
      '\\x05\\x00\\x05\\x02',
    ],
    ['SOCKS 4', '\\x04\\x01\\x00\\x50\\x7f\\x00\\x00\\x01\\x00', 'HTTP/1.1 400'],
    ['bytes of no protocol', '\\x00\\xff\\x16\\x03\\x01', 'HTTP/1.1 400'],
  ])('gets nothing for %s', async (_, says, begins) => {
    const sandbox = await proxiedSandbox(house, { allow: ['a.test'] })
    const expected = begins.replace(/\\x(..)/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    expect((await talk(sandbox, says)).slice(0, expected.length)).toBe(expected)
    expect(await sandbox.sh('curl -sS http://b.test/')).toContain('not in network.allow')
  })

  it('fills its trail with refusals and pushes nothing off that it did', async () => {
    await using allowed = await filesOrigin(new Map([['/', 'ok\n']]))
    const sandbox = await proxiedSandbox(house, {
      allow: [`packages.test:${allowed.port}`, `127.0.0.1:${allowed.port}`],
      names: { 'packages.test': ['127.0.0.1'] },
      limits: { maxNetworkTrailEntries: 6 },
    })
    await sandbox.sh(`curl -sS $(printf 'http://n%s.test/ ' $(seq 10)); curl -sS http://packages.test:${allowed.port}/`)
    expect(sandbox.trail()).toEqual({
      'n1.test:80 not_allowed': 1,
      'n2.test:80 not_allowed': 1,
      'n3.test:80 not_allowed': 1,
      ':0 not_allowed': 7,
      [`packages.test:${allowed.port} connected`]: 1,
    })
  })
})
