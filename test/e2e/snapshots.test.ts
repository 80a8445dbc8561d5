import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Sandbox, type Server } from '../../sdk/index.ts'
import { privateUser, useEnvironment } from '../fixtures/private-user.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

let server: Server
let project: string
let sandbox: Sandbox
let fixture: SdkSandbox | undefined

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  fixture = await sdkSandbox()
  ;({ server, project, sandbox } = fixture)
})

afterAll(() => fixture?.[Symbol.asyncDispose]())

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

describe('a snapshot', () => {
  test('has what the view was when it was made, and is found by its name, labels and sandbox', async () => {
    await sandbox.run('echo first > build/state; mkdir build/d; ln -s nowhere build/link')
    const first = await sandbox.snapshot({ name: 'first', labels: { by: 'test' } })
    await sandbox.run('echo second > build/state; rm -r build/d')
    expect(first).toMatchObject({ name: 'first', labels: { by: 'test' }, sandboxId: sandbox.id, skipped: 0 })
    expect(first.baseRootHash).toBe((await sandbox.info()).baseRootHash)
    expect(await server.snapshots.get(first.id)).toEqual(first)
    expect(await server.snapshots.list({ name: 'first', sandboxId: sandbox.id })).toEqual([first])
    expect(await server.snapshots.list({ name: 'none' })).toEqual([])

    await using other = await Sandbox.create({ server, snapshot: first.id, preset: 'development' })
    expect(await stdout(other, 'cat build/state; ls build; cat README.md')).toBe(
      'first\nd\nlink\nold\nstate\n# A project\n',
    )
    expect(await other.changes()).toEqual([])
  })

  test('is the same version when nothing changed in between', async () => {
    const [one, other] = [await sandbox.snapshot(), await sandbox.snapshot()]
    expect(one.id).not.toBe(other.id)
    expect(one.rootHash).toBe(other.rootHash)
  })

  test('is made while commands write, and each file in it is as it was at one moment', async () => {
    await sandbox.run('for i in $(seq 20); do echo 0 > build/n$i; done')
    const writing = sandbox.run('for n in $(seq 300); do for i in 1 2 3; do echo $n > build/n$i; done; done')
    const snapshots = []
    for (let made = 0; made < 3; made++) snapshots.push(await sandbox.snapshot())
    expect((await writing).exitCode).toBe(0)
    for (const { id } of snapshots) {
      await using other = await Sandbox.create({ server, snapshot: id, start: false })
      const numbers = await Promise.all([1, 2, 3].map(async (n) => Number(await other.files.readText(`build/n${n}`))))
      expect(numbers.every((number) => Number.isInteger(number))).toBe(true)
    }
  })

  test('is gone when it is deleted, and what was made of it stays', async () => {
    const { id } = await sandbox.snapshot()
    await using other = await Sandbox.create({ server, snapshot: id, start: false })
    await server.snapshots.delete(id)
    await expect(server.snapshots.get(id)).rejects.toMatchObject({ code: 'not_found' })
    await expect(server.snapshots.delete(id)).rejects.toMatchObject({ code: 'not_found' })
    await expect(Sandbox.create({ server, snapshot: id })).rejects.toMatchObject({ code: 'not_found' })
    expect(await other.files.readText('README.md')).toBe('# A project\n')
  })

  test('outlives its sandbox and its codebase', async () => {
    const gone = await Sandbox.fromLocal(project, { server, preset: 'development' })
    await gone.run('echo kept > kept')
    const { id, codebaseId } = await gone.snapshot()
    await gone.kill()
    await expect(Sandbox.create({ server, codebase: codebaseId })).rejects.toMatchObject({ code: 'not_found' })
    await using back = await Sandbox.create({ server, snapshot: id, preset: 'development' })
    expect(await stdout(back, 'cat kept')).toBe('kept\n')
  })

  test('becomes a version of its codebase, or a codebase of its own', async () => {
    await using writer = await Sandbox.fromLocal(project, { server, preset: 'development' })
    await writer.run('echo published > README.md')
    const snapshot = await writer.snapshot()
    expect(await server.snapshots.publish(snapshot.id, { codebaseId: writer.codebaseId })).toBe(writer.codebaseId)
    await using next = await Sandbox.create({ server, codebase: writer.codebaseId, start: false })
    expect((await next.info()).baseRootHash).toBe(snapshot.rootHash)
    const codebaseId = await server.snapshots.publish(snapshot.id, { name: 'new' })
    expect(codebaseId).not.toBe(writer.codebaseId)
    await server.deleteCodebase(codebaseId)
    await expect(server.snapshots.publish(snapshot.id, { name: '' })).rejects.toMatchObject({ field: 'name' })
  })
})

describe('a snapshot that is restored', () => {
  test('is what the sandbox sees again; its rules, its id and its trail stay', async () => {
    await using writer = await Sandbox.fromLocal(project, { server, permissions: { '/build/**': 'write' } })
    await writer.run('echo before > build/state')
    const snapshot = await writer.snapshot()
    await writer.run('echo after > build/state; rm build/old; cat README.md')
    await expect(writer.restore(snapshot.id)).rejects.toMatchObject({ code: 'failed_precondition' })
    await writer.stop()
    expect(await writer.restore(snapshot.id)).toMatchObject({ id: writer.id, baseRootHash: snapshot.rootHash })
    expect(await writer.changes()).toEqual([])
    await writer.start()
    expect(await stdout(writer, 'cat build/state build/old')).toBe('before\nold\n')
    expect((await writer.run('echo x > README.md')).exitCode).not.toBe(0)
    expect((await writer.trail()).entries.find(({ path }) => path === 'README.md')?.read).toBeGreaterThan(0)
    await writer.run('echo again > build/state')
    expect((await writer.changes()).map(({ path }) => path)).toEqual(['build/state'])
  })

  test('may be one of another sandbox, and a second time', async () => {
    await using one = await Sandbox.fromLocal(project, { server, preset: 'development', start: false })
    await one.files.write('of-one', 'x')
    const snapshot = await one.snapshot()
    await using other = await Sandbox.fromLocal(project, { server, preset: 'development', start: false })
    for (const _ of [1, 2]) {
      await other.files.write('of-other', 'x')
      await other.restore(snapshot.id)
      expect((await other.files.list('/')).map(({ name }) => name)).toEqual(
        (await one.files.list('/')).map(({ name }) => name),
      )
    }
  })
})

describe('forks', () => {
  test('see what the sandbox did when they were made, and nothing of one another', async () => {
    await using source = await Sandbox.fromLocal(project, { server, preset: 'development', labels: { a: '1' } })
    await source.run('mkdir d; echo source > d/file; rm README.md')
    const forks = await source.fork(3, { labels: { b: '2' } })
    expect(new Set(forks.map(({ id }) => id)).size).toBe(3)
    for (const [n, fork] of forks.entries()) await fork.run(`cat d/file > d/seen; echo ${n} > d/file; touch ${n}`)
    await source.run('echo later > d/file')
    for (const [n, fork] of forks.entries()) {
      expect(await stdout(fork, 'cat d/seen d/file; ls')).toBe(`source\n${n}\n${n}\nbuild\nd\nempty\nsrc\n`)
      expect(await fork.info()).toMatchObject({ preset: 'development', labels: { a: '1', b: '2' }, status: 'running' })
    }
    expect(await stdout(source, 'cat d/file; ls')).toBe('later\nbuild\nd\nempty\nsrc\n')
    for (const fork of forks) await fork.kill()
  })

  test('go on when the sandbox has gone, and take the codebase with the last of them', async () => {
    const source = await Sandbox.fromLocal(project, { server, preset: 'development' })
    const [fork] = await source.fork()
    await source.kill()
    expect(await stdout(fork as Sandbox, 'cat README.md')).toBe('# A project\n')
    await fork?.kill()
    await expect(server.deleteCodebase(source.codebaseId)).rejects.toMatchObject({ code: 'not_found' })
  })

  test('are made of one that does not run, and left stopped where that is asked for', async () => {
    await using source = await Sandbox.fromLocal(project, { server, preset: 'development', start: false })
    await source.files.write('new', 'x')
    const [fork] = await source.fork(1, { start: false })
    expect((await fork?.info())?.status).toBe('pending')
    expect(await fork?.files.readText('new')).toBe('x')
    await fork?.kill()
  })

  test('are refused beyond what one call may make', async () => {
    await expect(sandbox.fork(101)).rejects.toMatchObject({ code: 'invalid_argument', field: 'count' })
    await expect(sandbox.fork(-1)).rejects.toMatchObject({ code: 'invalid_argument', field: 'count' })
  })
})

test('the command line makes, lists, restores, publishes and deletes snapshots, and forks', async () => {
  await using other = privateUser()
  const restore = useEnvironment(other.env)
  try {
    const croft = (...args: string[]) =>
      execFileSync('node', [join(import.meta.dirname, '../../dist/sdk/cli/main.js'), ...args], {
        env: other.env,
        encoding: 'utf8',
      }).trim()
    const sb = croft('create', project, '--preset', 'development')
    const snap = croft('snapshot', 'create', sb, '--name', 'one', '--label', 'a=b')
    const { snapshots } = JSON.parse(croft('snapshot', 'list', '--sandbox', sb, '--json'))
    expect(snapshots).toMatchObject([{ id: snap, name: 'one', labels: { a: 'b' } }])
    expect(croft('fork', sb, '-n', '2').split('\n')).toHaveLength(2)
    const made = croft('create', '--snapshot', snap, '--no-start')
    croft('snapshot', 'restore', made, snap)
    expect(croft('snapshot', 'publish', snap, '--name', 'copy')).toMatch(/^cb_/)
    expect(croft('snapshot', 'delete', snap)).toBe(snap)
    croft('rm', '--all')
  } finally {
    restore()
  }
}, 60_000)

async function stdout(of: Sandbox, command: string): Promise<string> {
  return (await of.run(command)).stdout
}
