import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Sandbox, type Server } from '../../sdk/index.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

let server: Server
let source: Sandbox
let fixture: SdkSandbox | undefined

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  fixture = await sdkSandbox()
  server = fixture.server
  mkdirSync(join(fixture.project, 'removed'))
  writeFileSync(join(fixture.project, 'removed/.env'), 'TOKEN=below\n')
  writeFileSync(join(fixture.project, 'removed/seen'), 'seen\n')
  source = await Sandbox.fromLocal(fixture.project, { server, preset: 'development' })
})

afterAll(async () => {
  await source?.kill()
  await fixture?.[Symbol.asyncDispose]()
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

/** All that can be found of what is hidden. */
const SEARCH =
  'ls -a; ls -a removed; cat .env removed/.env; stat .env; grep -r TOKEN . ; find / -xdev -name .env 2>/dev/null'

describe('what the rules hide', () => {
  test('is hidden in forks, in sandboxes on a snapshot and after a restoring', async () => {
    await source.run('rm -rf removed; mkdir -p removed/more; cp -a . /tmp/copy; echo x > removed/new')
    const snapshot = await source.snapshot()
    const [fork] = await source.fork(1)
    const other = await Sandbox.create({ server, snapshot: snapshot.id, preset: 'development' })
    await other.stop()
    await other.restore(snapshot.id)
    await other.start()
    for (const each of [fork as Sandbox, other]) {
      const { stdout } = await each.run(SEARCH)
      expect(stdout).not.toContain('TOKEN')
      expect(stdout).not.toContain('.env')
      expect(stdout).toContain('more')
      expect(await each.files.readText('removed/.env', { as: 'owner' })).toBe('TOKEN=below\n')
      await each.kill()
    }
  })

  test('is hidden under the rules of the sandbox that is restored, whatever those were of which the snapshot is', async () => {
    await using open = await Sandbox.fromLocal(fixture?.project ?? '', { server, preset: 'full-access', start: false })
    const snapshot = await open.snapshot()
    await using strict = await Sandbox.fromLocal(fixture?.project ?? '', { server, start: false })
    await strict.restore(snapshot.id)
    await strict.start()
    expect((await strict.run(SEARCH)).stdout).not.toContain('TOKEN')
    expect((await strict.run('echo x > README.md')).exitCode).not.toBe(0)
  })
})

describe('a link that leads out', () => {
  test('is a link in a fork, and nothing that it leads to is in the snapshot', async () => {
    const script = 'mkdir a && echo inside > a/file && mv a b && ln -s /etc a && ln -s ../../../../etc/shadow out'
    expect((await source.run(script)).exitCode).toBe(0)
    const { sizeBytes } = await source.snapshot()
    expect(sizeBytes).toBeLessThan(1000)
    const [fork] = await source.fork(1, { start: false })
    const entries = (await fork?.files.list('', { as: 'owner' })) ?? []
    expect(entries.filter(({ kind }) => kind === 'symlink').map(({ name }) => name)).toEqual(['a', 'out'])
    expect(await fork?.files.readText('b/file')).toBe('inside\n')
    await expect(fork?.files.readText('a/hostname', { as: 'owner' })).rejects.toThrow()
    await fork?.kill()
  })
})

test('an id that is no snapshot’s tells nothing', async () => {
  for (const [id, code] of [
    ['snap_0123456789abcdef', 'not_found'],
    ['snap_../../../etc/pass', 'invalid_argument'],
    ['', 'invalid_argument'],
  ] as const) {
    await expect(server.snapshots.get(id)).rejects.toMatchObject({ code })
    await expect(server.snapshots.delete(id)).rejects.toMatchObject({ code })
    await expect(source.restore(id)).rejects.toMatchObject({ code })
    await expect(server.snapshots.publish(id, { name: 'x' })).rejects.toMatchObject({ code })
  }
})

describe('a diff as the sandbox', () => {
  const WORDS = /SECRET|\.env|private|seen-only/

  test('tells nothing of what is hidden, and no contents that cannot be read', async () => {
    const permissions = { '**': 'write', '/private/**': 'none', '/private': 'none', '/seen-only': 'view' } as const
    const spec = { server, preset: null, permissions, start: false }
    await using sandbox = await Sandbox.fromLocal(fixture?.project ?? '', spec)
    const as = { as: 'owner' as const }
    const lines = Array.from({ length: 50 }, (_, n) => `SECRET ${n}\n`).join('')
    await sandbox.files.write('seen-only', lines, as)
    await sandbox.files.mkdir('private', as)
    await sandbox.files.write('private/file', lines, as)
    await sandbox.files.write('moves-out', lines.replaceAll('SECRET', 'public'), as)
    const { id: from } = await sandbox.snapshot()
    await sandbox.files.write('private/file', 'SECRET changed', as)
    await sandbox.files.write('seen-only', `${lines}SECRET more\n`, as)
    await sandbox.files.rename('moves-out', 'private/moved', as)

    expect((await sandbox.diff()).toString()).not.toMatch(WORDS)
    const patch = (await sandbox.diff({ from })).toString()
    expect(patch).not.toMatch(WORDS)
    expect(patch).toContain('deleted file mode 100644')
    const told = await sandbox.changes({ from, as: 'sandbox' })
    expect(told.map(({ kind, path }) => `${kind} ${path}`)).toEqual(['deleted moves-out', 'modified seen-only'])
    const all = await sandbox.changes({ from })
    expect(all.map(({ path }) => path)).toEqual(['private/file', 'private/moved', 'seen-only'])
    expect((await sandbox.diff({ from, as: 'owner' })).toString()).toMatch(/SECRET more/)
  })
})
