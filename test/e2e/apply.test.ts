import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ApplyConflictError, Sandbox, type Server } from '../../sdk/index.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { smallProject } from '../fixtures/small-project.ts'
import { has, needs } from '../needs.ts'

let server: Server
let folder: string
let sandbox: Sandbox
let fixture: SdkSandbox | undefined

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  fixture = await sdkSandbox()
  server = fixture.server
})

afterAll(() => fixture?.[Symbol.asyncDispose]())

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse', 'bwrap')
  folder = smallProject()
  sandbox = await Sandbox.fromLocal(folder, { server, preset: 'development' })
})

afterEach(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  await sandbox.kill()
  fs.rmSync(folder, { recursive: true })
})

const LISTING = `find . ! -path ./.env -printf '%P %y %l\\n' | sort; find . -type f ! -name .env -print0 | sort -z | xargs -0 sha256sum
  find . -type f -perm -100 | sort`

function local(script = LISTING): string {
  return execFileSync('sh', ['-ec', script], { cwd: folder, encoding: 'utf8' })
}

describe('what a sandbox changed, applied to the folder,', () => {
  test('makes of it what the sandbox sees, and leaves what it does not see', async () => {
    await sandbox.run('echo more >> README.md; rm -r build empty; mkdir -p made/deep; seq 100000 > made/deep/large')
    await sandbox.run('ln -sf ../README.md src/link; chmod -x src/main.sh; mv src/main.sh moved; chmod +x moved')
    await sandbox.run(
      'rm README.md; mkdir README.md; echo in > README.md/file; printf %0300d 0 > "a name"; touch .none',
    )
    const result = await sandbox.apply(folder)
    expect(result).toMatchObject({ conflicts: [], kept: [] })
    expect(local()).toBe((await sandbox.run(LISTING)).stdout)
    expect(fs.readFileSync(join(folder, '.env'), 'utf8')).toBe('TOKEN=secret\n')
    expect((await sandbox.apply(folder)).applied).toEqual([])
    expect(await server.snapshots.list()).toEqual([])
    expect((await Sandbox.list({ server })).filter(({ labels }) => 'croft.for' in labels)).toEqual([])
  })

  test('is refused as a whole where the folder changed too, and only then', async () => {
    await sandbox.run('echo inside > README.md; echo new > new; rm build/old; echo x > taken; rm src/link')
    local('echo outside > README.md; echo y > taken; rm src/link; echo more > unrelated')
    const error = await sandbox.apply(folder).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ApplyConflictError)
    expect(error).toMatchObject({
      code: 'conflict',
      conflicts: [
        { path: 'README.md', reason: 'changed' },
        { path: 'taken', reason: 'exists' },
      ],
    })
    expect(local('cat README.md taken build/old; ls')).not.toContain('new')

    const plan = await sandbox.apply(folder, { dryRun: true })
    expect(plan.applied.map(({ kind, path }) => `${kind} ${path}`)).toEqual(['deleted build/old', 'created new'])
    expect(plan.conflicts).toHaveLength(2)
    expect(fs.existsSync(join(folder, 'new'))).toBe(false)

    expect((await sandbox.apply(folder, { onConflict: 'skip' })).applied).toEqual(plan.applied)
    expect(local('cat README.md taken new; ls build')).toBe('outside\ny\nnew\n')
    expect((await sandbox.apply(folder, { onConflict: 'overwrite' })).conflicts).toEqual([])
    expect(local('cat README.md taken unrelated')).toBe('inside\nx\nmore\n')
  })

  test('keeps a directory that has something in it which the sandbox did not know', async () => {
    local('echo mine > build/ignored')
    await sandbox.run('rm -r build empty')
    expect(await sandbox.apply(folder)).toMatchObject({ conflicts: [], kept: ['build'] })
    expect(local('ls; cat build/ignored')).toBe('README.md\nbuild\nsrc\nmine\n')

    await sandbox.run('rm -r src; echo file > src')
    local('echo mine > src/ignored')
    await expect(sandbox.apply(folder)).rejects.toMatchObject({ conflicts: [{ path: 'src', reason: 'not-empty' }] })
    expect(local('cat src/ignored')).toBe('mine\n')
  })

  test('is told and done by the command line', async () => {
    await sandbox.run('echo new > new')
    const croft = (...args: string[]) =>
      execFileSync(
        'node',
        [join(import.meta.dirname, '../../dist/sdk/cli/main.js'), 'apply', sandbox.id, folder, ...args],
        {
          encoding: 'utf8',
        },
      )
    expect(croft('--dry-run')).toBe('A  new\n')
    expect(fs.existsSync(join(folder, 'new'))).toBe(false)
    croft()
    expect(local('cat new')).toBe('new\n')
  })
})

test('what a fork of a sandbox that was restored changed is applied and published with what came before', async () => {
  await sandbox.run('echo kept > one; echo 1 > README.md')
  const { id } = await sandbox.snapshot()
  await sandbox.run('echo dropped > two')
  await sandbox.stop()
  await sandbox.restore(id)
  const [fork] = (await sandbox.fork()) as [Sandbox]
  await fork.run('echo 2 > README.md')
  expect((await fork.changes()).map(({ path }) => path)).toEqual(['README.md'])
  expect((await fork.changes({ from: 'origin' })).map(({ path }) => path)).toEqual(['README.md', 'one'])
  expect((await fork.apply(folder)).applied).toHaveLength(2)
  expect(local('cat README.md one; ls')).toBe('2\nkept\nREADME.md\nbuild\nempty\none\nsrc\n')
  await fork.publish()
  await fork.kill()
})

test('what a sandbox is becomes the version of its codebase, unless that has another one meanwhile', async () => {
  const other = await Sandbox.create({ server, codebase: sandbox.codebaseId, preset: 'development' })
  await sandbox.run('echo one > one')
  await other.run('echo other > other')
  await sandbox.publish()
  await expect(other.publish()).rejects.toMatchObject({ code: 'failed_precondition' })
  const next = await Sandbox.create({ server, codebase: sandbox.codebaseId, start: false })
  expect(await next.files.readText('one')).toBe('one\n')
  await other.publish({ force: true })
  await next.kill()
  await other.kill()
})
