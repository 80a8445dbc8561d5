import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  AbortedError,
  type FileEvent,
  InvalidArgumentError,
  NotFoundError,
  Sandbox,
  type Server,
} from '../../sdk/index.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

const MAIN = join(import.meta.dirname, '../../dist/sdk/cli/main.js')

let fixture: SdkSandbox
let sandbox: Sandbox
let server: Server
let scratch: string

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap'))) return
  scratch = mkdtempSync(join(tmpdir(), 'croft-seen-'))
  fixture = await sdkSandbox()
  ;({ sandbox, server } = fixture)
})

afterAll(async () => {
  await fixture?.[Symbol.asyncDispose]()
  if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true })
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

describe('sandbox.files.watch', () => {
  it('tells what commands inside and calls from outside do, of what the sandbox may see', async () => {
    const watch = sandbox.files.watch()
    expect(await told(watch, 'reset begin')).toEqual(['reset begin'])
    await sandbox.run('mkdir -p build/a; echo x > build/a/made; mv build/a/made build/moved; chmod 600 build/moved')
    await sandbox.files.write('.env', 'SECRET=1', { as: 'owner' })
    await sandbox.files.write('build/outside', 'x')
    const lines = await told(watch, 'created build/outside')
    // The kernel tells times that it kept itself when it pleases.
    expect(lines.filter((line) => !line.startsWith('attributes'))).toEqual([
      'created build/a',
      'created build/a/made',
      'modified build/a/made',
      'renamed build/moved from build/a/made',
      'created build/outside',
    ])
    expect(lines).toContain('attributes build/moved')
    await watch.return()
  })

  it('goes on over a stop and a start, and from a cursor', async () => {
    const watch = sandbox.files.watch('build')
    const { cursor } = await eventOf(watch, 'reset begin')
    await sandbox.stop()
    await sandbox.files.write('build/while-stopped', 'x')
    await sandbox.start()
    await sandbox.run('echo x > build/started')
    expect(await told(watch, 'created build/started')).toEqual(['created build/while-stopped', 'created build/started'])
    const again = sandbox.files.watch('build', { cursor })
    expect(await told(again, 'created build/started')).toEqual(['created build/while-stopped', 'created build/started'])
    await Promise.all([watch.return(), again.return()])
  })

  it('ends when its signal fires, and when the sandbox is destroyed', async () => {
    const controller = new AbortController()
    const watch = sandbox.files.watch('', { signal: controller.signal })
    await watch.next()
    const waiting = watch.next()
    controller.abort()
    await expect(waiting).rejects.toThrow(AbortedError)
    const other = await Sandbox.fromLocal(fixture.project, { server })
    const last = other.files.watch()
    await last.next()
    await Promise.all([expect(last.next()).rejects.toThrow(NotFoundError), other.kill()])
  })

  it('refuses a cursor that is none, and a path that is none', async () => {
    await expect(sandbox.files.watch('', { cursor: 'nonsense' }).next()).rejects.toThrow(InvalidArgumentError)
    await expect(sandbox.files.watch('../x').next()).rejects.toThrow(InvalidArgumentError)
  })
})

describe('croft watch', () => {
  it('prints a line for each event until Ctrl-C, with --json an object', async () => {
    for (const json of [false, true]) {
      const child = execa('node', [MAIN, 'watch', sandbox.id, 'build', ...(json ? ['--json'] : [])], {
        env: fixture.user.env,
        reject: false,
      })
      const lines = child.iterable({ preserveNewlines: false })[Symbol.asyncIterator]()
      const begin = String((await lines.next()).value)
      await sandbox.files.mkdir(`build/watched-${json}`)
      const made = String((await lines.next()).value)
      if (json) {
        expect(JSON.parse(begin)).toEqual({ kind: 'reset', reason: 'begin', cursor: expect.any(String) })
        expect(JSON.parse(made)).toMatchObject({ kind: 'created', path: 'build/watched-true', type: 'directory' })
      } else {
        expect([begin, made]).toEqual(['--  begin', 'A  build/watched-false/'])
      }
      child.kill('SIGINT')
      expect((await child).exitCode).toBe(130)
    }
  })
})

describe('a policy that is suggested', () => {
  const COMMAND =
    'cat src/used.txt src/lib/deep.txt && sed -i s/one/two/ build/edit.txt && mkdir build/new && ls docs > build/new/list'

  let project: string
  let first: Sandbox

  beforeAll(async () => {
    if (!(await has('root', 'fuse', 'bwrap'))) return
    project = mkdtempSync(join(scratch, 'project-'))
    await execa('sh', ['-c', PLANT], { cwd: project })
    first = await Sandbox.fromLocal(project, { server, preset: 'development' })
    expect(await first.run(COMMAND)).toMatchObject({ exitCode: 0 })
  })

  afterAll(async () => {
    await first?.kill()
  })

  it('lets the same command pass, and refuses what it did not use', async () => {
    const { rules, losses, excesses } = await first.suggestPolicy()
    expect(excesses).toEqual([])
    await using second = await Sandbox.fromLocal(project, { server, preset: null, permissions: rules })
    const expected = await first.run('cat build/edit.txt build/new/list')
    expect(await second.run(COMMAND)).toMatchObject({ exitCode: 0, stderr: '' })
    expect((await second.run('cat build/edit.txt build/new/list')).stdout).toBe(expected.stdout)
    for (const refused of [
      'cat src/unused.txt',
      'echo x >> src/used.txt',
      'cat docs/a.md',
      'echo x > src/new',
      'cat .env',
      'cat build/old.txt',
      'echo x > build/.env',
    ]) {
      expect([refused, (await second.run(refused)).exitCode]).not.toEqual([refused, 0])
    }
    expect(losses.map(({ path, whole, before, after, files }) => ({ path, whole, before, after, files }))).toEqual(
      expect.arrayContaining([
        { path: 'src', whole: false, before: 'write', after: 'none', files: 1 },
        { path: 'docs', whole: true, before: 'write', after: 'view', files: 2 },
      ]),
    )
  })

  it('is the same from a file that croft trail printed, also for the codebase alone, and as rules that croft takes', async () => {
    const { stdout: trail } = await croft('trail', first.id, '--json')
    const file = join(scratch, 'trail.json')
    writeFileSync(file, trail)
    const direct = (await croft('policy', 'suggest', first.id)).stdout
    expect((await croft('policy', 'suggest', file)).stdout).toBe(direct)
    expect((await croft('policy', 'suggest', file, '--codebase', first.codebaseId)).stdout).toBe(direct)
    const { rules } = await first.suggestPolicy()
    const flags = Array.from(direct.matchAll(/^--rule '(.*)'$/gm), ([, rule]) => ['--rule', String(rule)]).flat()
    expect(flags).toHaveLength(2 * rules.length)
    const run = await croft('run', project, '--preset', 'empty', ...flags, '-c', COMMAND)
    expect(run).toMatchObject({ exitCode: 0, stdout: 'used\ndeep' })
    const { stdout: yaml } = await croft('policy', 'suggest', first.id, '--yaml')
    expect(yaml).toMatch(/^- pattern: \//)
  }, 60_000)

  it('cannot be made from what is no trail', async () => {
    const file = join(scratch, 'none.json')
    writeFileSync(file, '{"sandboxId":"x"}')
    expect(await croft('policy', 'suggest', file)).toMatchObject({
      exitCode: 125,
      stderr: expect.stringMatching(/is no access trail: codebaseId/),
    })
    const empty = { sandboxId: first.id, codebaseId: first.codebaseId, permissions: [], entries: [] }
    writeFileSync(file, JSON.stringify(empty))
    expect((await croft('policy', 'suggest', file)).stderr).toContain('The trail has no entries')
    expect(await croft('policy', 'suggest', '/no/such/file')).toMatchObject({ exitCode: 125 })
  })

  it('comes from a trail that says what was refused, and stays over a stop', async () => {
    await first.run('cat .env; cat src/.env')
    await first.stop()
    const { stdout } = await croft('trail', first.id, '--refused')
    expect(
      stdout
        .split('\n')
        .slice(1)
        .map((line) => line.split(/ {2,}/).slice(5)),
    ).toEqual([
      ['1 view', '.env'],
      ['1 view', 'src/.env'],
    ])
    const { entries } = await first.trail()
    expect(entries.find(({ path }) => path === 'src/used.txt')?.read).toBeGreaterThan(0)
    await first.start()
  })
})

const PLANT = `mkdir -p src/lib docs build
  echo used > src/used.txt; echo unused > src/unused.txt; echo deep > src/lib/deep.txt; echo not > src/lib/not.txt
  echo a > docs/a.md; echo b > docs/b.md; echo one > build/edit.txt; echo old > build/old.txt; echo KEY > .env`

function croft(...args: string[]) {
  return execa('node', [MAIN, ...args], { env: fixture.user.env, reject: false, stdin: 'ignore' })
}

type Watch = AsyncGenerator<FileEvent, void, undefined>

/** Lines up to and with the given one. */
async function told(watch: Watch, last: string): Promise<string[]> {
  const lines: string[] = []
  while (lines.at(-1) !== last) {
    const next = await watch.next()
    if (next.done === true) break
    lines.push(lineOf(next.value))
  }
  return lines
}

async function eventOf(watch: Watch, line: string): Promise<FileEvent> {
  for await (const event of { [Symbol.asyncIterator]: () => ({ next: () => watch.next() }) }) {
    if (lineOf(event) === line) return event
  }
  throw new Error(`the watch ended before ${line}`)
}

function lineOf(event: FileEvent): string {
  if (event.kind === 'reset') return `reset ${event.reason}`
  return `${event.kind} ${event.path}${event.from === undefined ? '' : ` from ${event.from}`}`
}
