import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Sandbox, Server } from '../../sdk/index.ts'
import { type PrivateUser, privateUser, useEnvironment } from '../fixtures/private-user.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

let user: PrivateUser
let server: Server
let project: string
let sandbox: Sandbox
let fixture: SdkSandbox | undefined

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  fixture = await sdkSandbox()
  ;({ user, server, project, sandbox } = fixture)
})

afterAll(() => fixture?.[Symbol.asyncDispose]())

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

describe('the server of this user', () => {
  test('is started by the first who needs it and found by the second', async () => {
    const { pid } = await server.info()
    await using second = await Server.connect()
    expect((await second.info()).pid).toBe(pid)
    expect(second.address).toBe(`unix://${user.socket}`)
  })

  test('is one even when two processes want it at the same moment', async () => {
    await using other = privateUser()
    const cli = join(import.meta.dirname, '../../dist/sdk/cli/main.js')
    const script = `node ${cli} doctor --json & node ${cli} doctor --json & wait`
    const output = execFileSync('sh', ['-c', script], { env: other.env, encoding: 'utf8' })
    const pids = output
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { pid: number }).pid)
    expect(pids).toHaveLength(2)
    expect(new Set(pids).size).toBe(1)
  })

  test('that does not come up is told with the end of its log', async () => {
    await using other = privateUser()
    mkdirSync(join(other.dir, 'state/croft'), { recursive: true, mode: 0o700 })
    writeFileSync(join(other.dir, 'state/croft/data'), 'a file where the data directory should be')
    const restore = useEnvironment(other.env)
    try {
      const error = await Server.connect().catch((reason: unknown) => reason)
      expect(error).toMatchObject({ code: 'server_start', logTail: expect.stringMatching(/ENOTDIR|EEXIST/) })
    } finally {
      restore()
    }
  })

  test('is not started where an address was given', async () => {
    const socket = join(user.dir, 'nobody.sock')
    await expect(Server.connect({ socket })).rejects.toMatchObject({ code: 'server_unreachable' })
    expect(existsSync(socket)).toBe(false)
  }, 20_000)

  test('is refused where its directory belongs to someone else', async () => {
    await using other = privateUser()
    mkdirSync(join(other.dir, 'run/croft'), { recursive: true })
    execFileSync('chown', ['65534', join(other.dir, 'run/croft')])
    const restore = useEnvironment(other.env)
    try {
      await expect(Server.connect()).rejects.toMatchObject({ code: 'permission_denied' })
    } finally {
      restore()
    }
  })
})

describe('an upload', () => {
  test('sends nothing the second time', async () => {
    const again = await server.uploadFolder(project)
    expect(again).toMatchObject({
      filesSent: 0,
      bytesSent: 0,
      files: 4,
      symlinks: 1,
      rootHash: sandbox.upload?.rootHash,
    })
    await server.deleteCodebase(again.codebaseId)
  })

  test('reads and counts everything before it sends', async () => {
    const phases: string[] = []
    const dir = mkdtempSync(join(tmpdir(), 'croft-upload-'))
    writeFileSync(join(dir, 'a'), 'never seen before: d41d8cd98f')
    const result = await server.uploadFolder(dir, { onProgress: ({ phase }) => phases.push(phase) })
    rmSync(dir, { recursive: true })
    await server.deleteCodebase(result.codebaseId)
    expect([...new Set(phases)]).toEqual(['reading', 'hashing', 'sending'])
    expect(result).toMatchObject({ filesSent: 1, bytesSent: 29 })
  })

  test('a missing folder is refused by name, and nothing is made', async () => {
    const before = (await Sandbox.list({ server })).length
    await expect(Sandbox.fromLocal('/no/such/folder', { server })).rejects.toMatchObject({
      code: 'local_file',
      path: '/no/such/folder',
    })
    expect(await Sandbox.list({ server })).toHaveLength(before)
  })

  test('a bad pattern is refused by its field, and the upload does not stay', async () => {
    const error = await Sandbox.fromLocal(project, { server, permissions: { '/a[': 'read' } }).catch(
      (reason: unknown) => reason,
    )
    expect(error).toMatchObject({ code: 'invalid_argument', field: expect.stringContaining('permissions[') })
  })
})

describe('files', () => {
  test('are written, read, listed, renamed and removed', async () => {
    const { files } = sandbox
    const entry = await files.write('build/deep/er/file', 'content', { mode: 0o600 })
    expect(entry).toMatchObject({ path: 'build/deep/er/file', name: 'file', kind: 'file', sizeBytes: 7, mode: 0o600 })
    expect(await files.readText('build/deep/er/file')).toBe('content')
    expect(await files.readText('build/deep/er/file', { offset: 3, length: 2 })).toBe('te')
    expect((await files.list('build/deep', { recursive: true })).map(({ path }) => path)).toEqual([
      'build/deep/er',
      'build/deep/er/file',
    ])
    await files.rename('build/deep/er/file', 'build/moved')
    expect(await files.exists('build/deep/er/file')).toBe(false)
    await expect(files.remove('build/deep')).rejects.toMatchObject({ code: 'failed_precondition' })
    await files.remove('build/deep', { recursive: true })
    await files.remove('build/moved')
    expect(await files.exists('build/deep')).toBe(false)
  })

  test('of every size about a piece of what is sent are whole, and so is any part of them', async () => {
    const { files } = sandbox
    const piece = 256 * 1024
    for (const size of [0, 1, piece - 1, piece, piece + 1, 2 * piece]) {
      const content = Buffer.alloc(size, 'croft ')
      await files.write('build/sized', content)
      expect(content.equals(await files.read('build/sized')), `${size}`).toBe(true)
      const [offset, length] = [Math.max(0, size - 3), 2]
      expect(await files.readText('build/sized', { offset, length })).toBe(
        content.toString('utf8', offset, offset + length),
      )
      expect(await files.readText('build/sized', { offset: size })).toBe('')
      expect(await files.readText('build/sized', { offset: size + 1, length: 1 })).toBe('')
    }
    await files.remove('build/sized')
  })

  test('are seen by commands at once, and the other way round', async () => {
    await sandbox.files.write('build/from-outside', 'hello')
    expect((await sandbox.run('cat build/from-outside')).stdout).toBe('hello')
    await sandbox.run('echo changed > build/from-outside')
    expect(await sandbox.files.readText('build/from-outside')).toBe('changed\n')
    await sandbox.files.remove('build/from-outside')
  })

  test('behind the rules do not exist for the sandbox, and do for the owner', async () => {
    expect(await sandbox.files.exists('.env')).toBe(false)
    expect(await sandbox.files.readText('.env', { as: 'owner' })).toBe('TOKEN=secret\n')
    await expect(sandbox.files.write('README.md', 'x')).rejects.toMatchObject({ code: 'permission_denied' })
    expect((await sandbox.run('cat .env')).exitCode).not.toBe(0)
  })

  test('a name that is no UTF-8 goes through as bytes', async () => {
    const path = Buffer.concat([Buffer.from('build/'), Buffer.from([0xff, 0x61])])
    await sandbox.files.write(path, 'odd')
    const entry = (await sandbox.files.list('build')).find(({ rawPath }) => path.equals(rawPath))
    expect(entry?.path).toBe('build/\ufffda')
    expect(await sandbox.files.readText(path)).toBe('odd')
    await sandbox.files.remove(path)
  })

  test.each([['a/../b'], ['a\0b'], ['x/'.repeat(2049)]])('the path %j is refused by its field', async (path) => {
    await expect(sandbox.files.read(path)).rejects.toMatchObject({ code: 'invalid_argument', field: 'path' })
  })

  test('a link is told as one and not followed', async () => {
    expect(await sandbox.files.stat('src/link')).toMatchObject({ kind: 'symlink', symlinkTarget: 'main.sh' })
  })

  test('a source that breaks in the middle of a write leaves the file as it was', async () => {
    await sandbox.files.write('build/whole', 'before')
    async function* broken() {
      yield 'half of'
      throw new Error('the source broke')
    }
    await expect(sandbox.files.write('build/whole', broken())).rejects.toThrow('the source broke')
    expect(await sandbox.files.readText('build/whole')).toBe('before')
    await sandbox.files.remove('build/whole')
  })
})

describe('what a sandbox changed', () => {
  test('is listed and exported, and the tar is whole', async () => {
    await using other = await Sandbox.fromLocal(project, { server, preset: 'development' })
    await other.run('echo new > new; echo more >> README.md; rm build/old; mv src lib', { check: true })
    const changes = (await other.changes()).map(({ kind, path }) => [kind, path]).sort()
    expect(changes).toEqual([
      ['created', 'new'],
      ['deleted', 'build/old'],
      ['modified', 'README.md'],
      ['renamed', 'lib'],
    ])

    const dir = mkdtempSync(join(tmpdir(), 'croft-export-'))
    const result = await other.exportSnapshot({ to: join(dir, 'view.tar') })
    expect(readdirSync(dir)).toEqual(['view.tar'])
    expect(sha256(readFileSync(join(dir, 'view.tar')))).toBe(result.sha256)
    execFileSync('tar', ['-xf', join(dir, 'view.tar'), '-C', dir])
    expect(readFileSync(join(dir, 'lib/main.sh'), 'utf8')).toBe('echo built > build/out\n')
    expect(existsSync(join(dir, '.env'))).toBe(false)
    rmSync(dir, { recursive: true })
  })

  test('an export that cannot be written says where, and leaves nothing', async () => {
    await expect(sandbox.exportSnapshot({ to: '/no/such/dir/x.tar' })).rejects.toMatchObject({
      code: 'local_file',
      path: '/no/such/dir/x.tar',
    })
  })
})

describe('the life of a sandbox', () => {
  test('the rules can be changed while it runs', async () => {
    await using other = await Sandbox.fromLocal(project, { server })
    expect((await other.run('cat README.md')).exitCode).toBe(0)
    await other.setPermissions([{ pattern: '/src/**', level: 'read' }])
    expect((await other.run('cat README.md')).exitCode).not.toBe(0)
    expect((await other.run('ls')).stdout).toBe('src\n')
    await other.setPermissions({ preset: 'agent-safe' })
    expect((await other.run('cat README.md')).exitCode).toBe(0)
  })

  test('it is stopped and started with its files as they were, and others can connect to it', async () => {
    await using made = await Sandbox.fromLocal(project, { server, preset: 'development', labels: { team: 'a' } })
    await made.run('echo kept > kept')
    expect(await made.stop()).toMatchObject({ status: 'stopped' })
    expect(await made.files.readText('kept')).toBe('kept\n')
    expect(await made.start()).toMatchObject({ status: 'running' })
    {
      await using found = await Sandbox.connect(made.id)
      expect((await found.run('cat kept')).stdout).toBe('kept\n')
    }
    expect(await made.info()).toMatchObject({ status: 'running', preset: 'development', labels: { team: 'a' } })
  })

  test('await using destroys it with the codebase that was uploaded for it', async () => {
    let ids: [string, string]
    {
      await using made = await Sandbox.fromLocal(project, { server })
      ids = [made.id, made.codebaseId]
    }
    await expect(Sandbox.connect(ids[0], { server })).rejects.toMatchObject({ code: 'not_found' })
    await expect(Sandbox.create({ server, codebase: ids[1] })).rejects.toMatchObject({ code: 'not_found' })
  })

  test('an abort while it is made leaves nothing', async () => {
    const before = (await Sandbox.list({ server })).length
    const controller = new AbortController()
    const making = Sandbox.fromLocal(project, {
      server,
      signal: controller.signal,
      onProgress: () => controller.abort(),
    })
    await expect(making).rejects.toMatchObject({ code: 'aborted' })
    expect(await Sandbox.list({ server })).toHaveLength(before)
  })

  test.each([
    [{ resources: { memoryBytes: 0 } }, 'resources.memoryBytes'],
    [{ resources: { cpus: -1 } }, 'resources.cpus'],
    [{ timeoutMs: 0 }, 'timeoutMs'],
    [{ permissions: { '/a': 'all' as 'read' } }, 'permissions[0].level'],
    [{ runtime: 'chroot' as 'bwrap' }, 'runtime'],
  ])('the options %j are refused by their field', async (options, field) => {
    await expect(Sandbox.fromLocal(project, { server, ...options })).rejects.toMatchObject({
      code: 'invalid_argument',
      field,
    })
  })

  test('a script that lets go of nothing still ends', () => {
    const sdk = join(import.meta.dirname, '../../dist/sdk/index.js')
    const script = `
      import { Sandbox } from ${JSON.stringify(sdk)}
      const sandbox = await Sandbox.connect(${JSON.stringify(sandbox.id)})
      console.log((await sandbox.run('echo done')).stdout)`
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 20_000,
    })
    expect(output.trim()).toBe('done')
  })
})

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
