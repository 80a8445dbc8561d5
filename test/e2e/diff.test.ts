import { execFileSync } from 'node:child_process'
import { cpSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type DiffSide, Sandbox } from '../../sdk/index.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

let sandbox: Sandbox
let fixture: SdkSandbox | undefined

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap', 'git'))) return
  fixture = await sdkSandbox()
  sandbox = await Sandbox.fromLocal(fixture.project, { server: fixture.server, preset: 'development' })
})

afterAll(async () => {
  await sandbox?.kill()
  await fixture?.[Symbol.asyncDispose]()
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap', 'git'))

async function summary(from?: DiffSide, to?: DiffSide): Promise<string[]> {
  const sides = { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) }
  return (await sandbox.changes(sides)).map(({ kind, path, from: old, similarity }) =>
    [kind, path, old, similarity].filter((part) => part !== undefined).join(' '),
  )
}

describe('a diff', () => {
  test('is between any two of base, snapshots and what is now', async () => {
    await sandbox.run('echo 1 > state; echo more >> README.md; chmod +x build/old')
    const { id: one } = await sandbox.snapshot()
    await sandbox.run('echo 2 > state; rm -r src; ln -sf state README.md; seq 100 > numbers')
    const { id: two } = await sandbox.snapshot()
    await sandbox.run('sed -i s/50/fifty/ numbers; mkdir moved; mv numbers moved/there; echo 3 > state')

    expect(await summary('base', one)).toEqual(['modified README.md', 'mode build/old', 'created state'])
    const between = ['type README.md', 'created numbers', 'deleted src', 'deleted src/link', 'deleted src/main.sh']
    expect(await summary(one, two)).toEqual([...between, 'modified state'])
    expect(await summary(two)).toEqual([
      'created moved',
      expect.stringMatching(/^renamed moved\/there numbers 9\d$/),
      'modified state',
    ])
    expect(await summary(two, 'base')).toContain('created src')
    expect(await summary('live', 'live')).toEqual([])
    expect((await sandbox.diff({ from: one, to: two })).toString()).toContain('-1\n+2\n')
  })

  test('applied to the folder makes of it what the sandbox sees', async () => {
    const folder = join(fixture?.user.dir ?? '', 'applied')
    cpSync(fixture?.project ?? '', folder, { recursive: true, verbatimSymlinks: true })
    await sandbox.run('head -c 3000 /dev/urandom > binary; printf "no end" > unended')
    const env = { ...process.env, GIT_CEILING_DIRECTORIES: fixture?.user.dir ?? '' }
    execFileSync('git', ['apply', '--whitespace=nowarn'], { cwd: folder, input: await sandbox.diff(), env })
    const seen = await sandbox.run('find . -type f | sort | xargs sha256sum; find . -type l -printf "%p %l\\n"')
    const script = 'find . -type f ! -name .env | sort | xargs sha256sum; find . -type l -printf "%p %l\\n"'
    expect(execFileSync('sh', ['-c', script], { cwd: folder, encoding: 'utf8' })).toBe(seen.stdout)
    expect(readFileSync(join(folder, '.env'), 'utf8')).toBe('TOKEN=secret\n')
    rmSync(folder, { recursive: true })
  })

  test('is printed by the command line, as a list too', () => {
    const cli = (...args: string[]) =>
      execFileSync('node', [join(import.meta.dirname, '../../dist/sdk/cli/main.js'), ...args, sandbox.id], {
        encoding: 'utf8',
      })
    expect(cli('diff', '--from', 'live', '--to', 'base')).toContain(
      'diff --git a/state b/state\ndeleted file mode 100644',
    )
    expect(cli('changes', '--from', 'base')).toMatch(/^T {2}README.md$/m)
  })

  test('with a side that is none, or is gone, is refused by name', async () => {
    await expect(sandbox.changes({ from: 'nothing' as DiffSide })).rejects.toMatchObject({ field: 'from' })
    await expect(sandbox.diff({ to: 'snap_0123456789abcdef' })).rejects.toMatchObject({ code: 'not_found' })
    await expect(sandbox.diff({ to: 'snap_x' })).rejects.toMatchObject({ field: 'query.to.snapshot_id' })
  })
})
