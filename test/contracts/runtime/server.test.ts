import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Sandbox, type SandboxOptions, Server } from '../../../sdk/index.ts'
import { filesOrigin } from '../../fixtures/origin.ts'
import { type PrivateUser, privateUser, useEnvironment } from '../../fixtures/private-user.ts'
import { has, needs } from '../../needs.ts'
import { type OpenPlace, PLACES } from './places.ts'

const CLI = join(import.meta.dirname, '../../../dist/sdk/cli/main.js')

/** What clients of a server have in every runtime. */
describe.each(PLACES)('a sandbox of the $name runtime', ({ name, needs: needed, open }) => {
  let place: OpenPlace | undefined
  let user: PrivateUser
  let server: Server
  let project: string
  let restoreEnvironment: () => void
  /** That all cases share which leave it as it was. */
  let shared: Sandbox

  beforeAll(async () => {
    if (!(await has('root', 'fuse', ...needed))) return
    place = await open()
    user = privateUser()
    const engines = { CROFT_DOCKER_SOCKET: '/no/docker.sock', CROFT_PODMAN_SOCKET: '/no/podman.sock' }
    restoreEnvironment = useEnvironment({ ...user.env, ...engines, ...place.settings })
    project = mkdtempSync(join(tmpdir(), 'croft-project-'))
    writeFileSync(join(project, 'README'), 'original\n')
    writeFileSync(join(project, 'secret.env'), 'hidden\n')
    server = await Server.connect()
    shared = await make({ resources: { memoryBytes: 64 << 20 } })
  })
  afterAll(async () => {
    if (place === undefined) return
    server.close()
    restoreEnvironment()
    await user[Symbol.asyncDispose]()
    rmSync(project, { recursive: true, force: true })
    await place[Symbol.asyncDispose]()
  })
  beforeEach((context) => needs(context, 'root', 'fuse', ...needed))

  function make(options: SandboxOptions = {}): Promise<Sandbox> {
    const image = place?.image === undefined ? {} : { image: place.image }
    const permissions = { '/**': 'write', '/secret.env': 'none' } as const
    return Sandbox.fromLocal(project, { server, runtime: name, ...image, permissions, ...options })
  }

  test('has the view with its rules, and a delta that outlives it', async () => {
    const sandbox = await make()
    try {
      const script = 'cat README; ls; cat secret.env; echo changed > README; echo $HOME'
      const { stdout, stderr } = await sandbox.run(script)
      expect(stdout).toBe('original\nREADME\n/home/croft\n')
      expect(stderr).toContain('No such file')
      await sandbox.stop()
      await sandbox.start()
      expect((await sandbox.run('cat README')).stdout).toBe('changed\n')
      expect((await sandbox.changes()).map(({ kind, path }) => `${kind} ${path}`)).toEqual(['modified README'])
      expect(readFileSync(join(project, 'README'), 'utf8')).toBe('original\n')
    } finally {
      await sandbox.kill()
    }
  })

  test('keeps a session, and runs commands in the background', async () => {
    await using session = await shared.session()
    await session.run('mkdir -p /tmp/d; cd /tmp/d; X=kept')
    expect((await session.run('pwd; echo $X')).stdout).toBe('/tmp/d\nkept\n')
    const command = await shared.commands.start('read -r line; echo "got $line"; exit 3', { stdin: 'typed\n' })
    expect(await command.wait()).toMatchObject({ exitCode: 3 })
  })

  test('says that a command died for want of memory, and what the sandbox uses', async () => {
    const died = await shared.run(['python3', '-c', 'x = bytearray(200 << 20)'])
    expect(died).toMatchObject({ exitCode: 137, oomKilled: true })
    const stats = await shared.stats()
    expect(stats).toMatchObject({ memoryLimitBytes: 64 << 20, oomKills: 1 })
    expect(stats.memoryPeakBytes).toBeLessThanOrEqual(64 << 20)
    expect(stats.cpuTimeMs).toBeGreaterThan(0)
  })

  test('reaches the hosts of its list, and no others', async () => {
    await using named = await filesOrigin(new Map([['/', 'of the one that is named']]))
    await using other = await filesOrigin(new Map([['/', 'of another']]))
    const sandbox = await make({ network: { allow: [`127.0.0.1:${named.port}`] } })
    try {
      const ask = (port: number) => sandbox.run(['python3', '-c', ASK, `http://127.0.0.1:${port}/`])
      expect((await ask(named.port)).stdout).toContain('of the one that is named')
      expect((await ask(other.port)).stdout).toContain(' 403 ')
      expect(other.requests).toEqual([])
      const trail = await sandbox.networkTrail()
      expect(trail.map(({ port, outcome }) => [port, outcome])).toEqual(
        expect.arrayContaining([
          [named.port, 'connected'],
          [other.port, 'not_allowed'],
        ]),
      )
    } finally {
      await sandbox.kill()
    }
  })

  test('is gone when its time is over', async () => {
    const brief = await make({ timeoutMs: 1 })
    await expect.poll(async () => (await Sandbox.list({ server })).map(({ id }) => id)).not.toContain(brief.id)
    brief.close()
  })

  test('is chosen by `auto` where it is the strongest that can do it, and stays, also when the server was killed', async () => {
    const sandbox = await make({ runtime: 'auto' })
    expect((await sandbox.info()).runtime).toBe(name)
    await sandbox.run('echo kept > kept; sync')
    const { pid } = await server.info()
    process.kill(pid, 'SIGKILL')
    await expect.poll(() => readState(pid)).toMatch(/^Z?$/)
    // A process of its own starts the next one: here the connection to the last would be tried for a while.
    const ls = await execa('node', [CLI, 'ls', '--json'], { stdin: 'ignore' })
    const { sandboxes } = JSON.parse(ls.stdout) as { sandboxes: { id: string; runtime: string; status: string }[] }
    const listed = sandboxes.find(({ id }) => id === sandbox.id)
    expect(listed?.runtime).toBe(name)
    await sandbox.start()
    expect((await sandbox.run('cat kept')).stdout).toBe('kept\n')
    await sandbox.kill()
  })
})

function readState(pid: number): string {
  try {
    return /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1] ?? ''
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return ''
    throw error
  }
}

/** By the proxy that the environment tells of; an image need not have a program for it. */
const ASK = [
  'import os,socket,sys',
  'host,port=os.environ["http_proxy"].split("//")[1].strip("/").split(":")',
  's=socket.create_connection((host,int(port)))',
  's.sendall(f"GET {sys.argv[1]} HTTP/1.0\\r\\nHost: {sys.argv[1].split(chr(47))[2]}\\r\\n\\r\\n".encode())',
  'print(s.makefile().read())',
].join('\n')
