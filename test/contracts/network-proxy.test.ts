import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openBwrapHouse } from '../fixtures/bwrap-sandbox.ts'
import { filesOrigin, type Origin, origin } from '../fixtures/origin.ts'
import { type ProxiedSandbox, type ProxiedSandboxOptions, proxiedSandbox } from '../fixtures/proxied-sandbox.ts'
import type { RuntimeHouse } from '../fixtures/runtime-house.ts'
import { needs } from '../needs.ts'

let house: RuntimeHouse
let made: AsyncDisposable[]
let scratch: string

beforeEach(async (context) => {
  await needs(context, 'bwrap', 'curl')
  house = openBwrapHouse()
  made = []
  scratch = mkdtempSync(join(tmpdir(), 'croft-network-'))
})

afterEach(async () => {
  await house?.dispose()
  for (const one of made ?? []) await one[Symbol.asyncDispose]()
  if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true })
})

/** A sandbox that may reach one server by the name `packages.test`. */
async function sandboxFor(server: Origin, more: Partial<ProxiedSandboxOptions> = {}): Promise<ProxiedSandbox> {
  made.push(server)
  return await proxiedSandbox(house, {
    allow: [`packages.test:${server.port}`, `127.0.0.1:${server.port}`],
    names: { 'packages.test': ['127.0.0.1'] },
    ...more,
  })
}

describe('a program finds the proxy by itself and', () => {
  it('gets what it may by plain HTTP, CONNECT and SOCKS 5, and each is on the trail', async () => {
    const server = await filesOrigin(new Map([['/hello', 'hello\n']]))
    const sandbox = await sandboxFor(server)
    const url = `http://packages.test:${server.port}/hello`
    expect(await sandbox.sh(`curl -sS ${url}`)).toBe('hello\n')
    expect(await sandbox.sh(`curl -sS --proxytunnel ${url}`)).toBe('hello\n')
    expect(await sandbox.sh(`curl -sS --proxy socks5h://127.0.0.1:3128 ${url}`)).toBe('hello\n')
    expect(server.requests).toEqual(Array(3).fill(`GET /hello packages.test:${server.port}`))
    expect(sandbox.trail()).toEqual({ [`packages.test:${server.port} connected`]: 3 })
  })

  it('is told why where it may not', async () => {
    const server = await filesOrigin(new Map())
    const sandbox = await sandboxFor(server)
    expect(await sandbox.sh('curl -sS http://elsewhere.test/')).toBe('croft: elsewhere.test is not in network.allow\n')
    expect(await sandbox.sh(`curl -sS http://packages.test/`)).toBe(
      'croft: port 80 of packages.test is not in network.allow\n',
    )
    expect(await sandbox.sh('curl -sS https://elsewhere.test/')).toContain('403')
    expect(await sandbox.sh('curl -sS --proxy socks5h://127.0.0.1:3128 http://elsewhere.test/; echo $?')).toContain(
      '97',
    )
    expect(sandbox.trail()).toEqual({
      'elsewhere.test:80 not_allowed': 2,
      'elsewhere.test:443 not_allowed': 1,
      'packages.test:80 not_allowed': 1,
    })
  })

  it('sends a body of megabytes and gets it back', async () => {
    const server = await origin((request, response) => {
      request.pipe(response)
    })
    const sandbox = await sandboxFor(server)
    const url = `http://packages.test:${server.port}/`
    const round = (how: string) =>
      sandbox.sh(
        `head -c 5000000 /dev/urandom > /tmp/b; curl -sS ${how} ${url} -o /tmp/c && cmp /tmp/b /tmp/c && echo same`,
      )
    expect(await round('--data-binary @/tmp/b')).toBe('same\n')
    expect(await round('-T - -H "Transfer-Encoding: chunked" < /tmp/b')).toBe('same\n')
    expect(await round('--proxytunnel --data-binary @/tmp/b')).toBe('same\n')
  })

  it('follows a redirect only where that leads to what it may', async () => {
    const server = await origin((request, response) => {
      const to = request.url === '/out' ? 'http://elsewhere.test/' : `http://packages.test:${server.port}/there`
      if (request.url === '/there') response.end('there\n')
      else response.writeHead(302, { Location: to }).end()
    })
    const sandbox = await sandboxFor(server)
    const get = (path: string) => sandbox.sh(`curl -sSL http://packages.test:${server.port}${path}`)
    expect(await get('/in')).toBe('there\n')
    expect(await get('/out')).toBe('croft: elsewhere.test is not in network.allow\n')
  })

  it('is told of a name without an address and of a port where nobody answers', async () => {
    const server = await filesOrigin(new Map())
    const sandbox = await sandboxFor(server, {
      allow: ['nowhere.test', 'closed.test:1', '127.0.0.1:1'],
      names: { 'closed.test': ['127.0.0.1'] },
    })
    expect(await sandbox.sh('curl -sS http://nowhere.test/')).toBe('croft: nowhere.test has no address\n')
    expect(await sandbox.sh('curl -sS http://closed.test:1/')).toBe(
      'croft: closed.test cannot be reached: ECONNREFUSED\n',
    )
    expect(sandbox.trail()).toEqual({ 'nowhere.test:80 unresolved': 1, 'closed.test:1 unreachable': 1 })
  })
})

describe('through it work', () => {
  it('npm', async (context) => {
    await needs(context, 'npm')
    const server = await origin((_, response) => {
      const dist = { tarball: `http://packages.test:${server.port}/t.tgz`, shasum: '0'.repeat(40) }
      const versions = { '1.2.3': { name: 'tiny', version: '1.2.3', dist } }
      response.setHeader('Content-Type', 'application/json')
      response.end(JSON.stringify({ name: 'tiny', 'dist-tags': { latest: '1.2.3' }, versions }))
    })
    const sandbox = await sandboxFor(server)
    const registry = `http://packages.test:${server.port}/`
    expect(await sandbox.sh(`npm view tiny version --registry ${registry} --update-notifier false`)).toBe('1.2.3\n')
  })

  it('pip', async (context) => {
    await needs(context, 'pip')
    const name = 'tiny-1.0-py3-none-any.whl'
    execFileSync('python3', ['-c', MAKE_WHEEL, join(scratch, name)])
    const wheel = readFileSync(join(scratch, name))
    const hash = createHash('sha256').update(wheel).digest('hex')
    const server = await filesOrigin(
      new Map<string, string | Buffer>([
        ['/simple/tiny/', `<a href="/${name}#sha256=${hash}">${name}</a>`],
        [`/${name}`, wheel],
      ]),
    )
    const sandbox = await sandboxFor(server)
    const flags = `--no-deps --isolated --trusted-host packages.test -d /tmp/w -i http://packages.test:${server.port}/simple`
    expect(await sandbox.sh(`/usr/bin/python3 -m pip download ${flags} tiny && ls /tmp/w`)).toContain(`\n${name}\n`)
  })

  it('git', async (context) => {
    await needs(context, 'git')
    const work = join(scratch, 'work')
    const bare = join(scratch, 'bare')
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=x', '-c', 'user.email=x@x', ...args], { stdio: 'pipe' })
    git('init', '-q', work)
    git('-C', work, 'commit', '-q', '--allow-empty', '-m', 'over the proxy')
    git('clone', '-q', '--bare', work, bare)
    git('-C', bare, 'update-server-info')
    const server = await filesOrigin(
      new Map(filesBelow(bare).map((path) => [`/r.git/${path}`, readFileSync(join(bare, path))])),
    )
    const sandbox = await sandboxFor(server)
    const url = `http://packages.test:${server.port}/r.git`
    expect(await sandbox.sh(`cd /tmp && git clone -q ${url} r && git -C r log --format=%s`)).toBe('over the proxy\n')
  })

  it('npm with the real registry, by TLS', async (context) => {
    await needs(context, 'npm', 'npm-registry')
    const sandbox = await sandboxForReal('registry.npmjs.org')
    expect(await sandbox.sh('npm view semver name --update-notifier false')).toBe('semver\n')
  })

  it('pip with the real index, by TLS', async (context) => {
    await needs(context, 'pip', 'python-index')
    const sandbox = await sandboxForReal('pypi.org', 'files.pythonhosted.org')
    const flags = '--no-deps --isolated --cert /etc/ssl/certs/ca-certificates.crt -d /tmp/w'
    expect(await sandbox.sh(`/usr/bin/python3 -m pip download ${flags} six && ls /tmp/w`)).toMatch(/^six-.*\.whl$/m)
  })
})

/** Where they are mirrored nearby their addresses may be private ones, which must be named. */
async function sandboxForReal(...hosts: string[]): Promise<ProxiedSandbox> {
  const found = await Promise.all(hosts.map(async (host) => [host, (await lookup(host)).address] as const))
  return await proxiedSandbox(house, {
    allow: [...hosts, ...found.map(([, address]) => address)],
    names: Object.fromEntries(found.map(([host, address]) => [host, [address]])),
  })
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) =>
    statSync(join(folder, path)).isFile(),
  )
}

const MAKE_WHEEL = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    info = 'tiny-1.0.dist-info/'
    wheel.writestr('tiny.py', '')
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', 'tiny.py,,\\n')
`
