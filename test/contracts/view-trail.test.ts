import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TrailEntry } from '../../fs-layer/index.ts'
import type { Rule } from '../../fs-layer/policy/rule.ts'
import { TRAIL_BYTES_MAX, TRAIL_PATHS_MAX, TRAIL_REFUSED_MAX } from '../../fs-layer/view/limits.ts'
import { TRAIL_COUNTS } from '../../fs-layer/view/trail-entry.ts'
import { errorCode } from '../fixtures/error-code.ts'
import { type MountedView, mountedView } from '../fixtures/mounted-view.ts'
import { has, needs } from '../needs.ts'

const RULES: readonly Rule[] = [
  { pattern: '**', type: 'glob', level: 'read' },
  { pattern: '/work/**', type: 'glob', level: 'write' },
  { pattern: '/names/**', type: 'glob', level: 'view' },
  { pattern: '**/secret*/**', type: 'glob', level: 'none', priority: 10 },
]

let base: string
let mounted: MountedView

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse')
  base = fs.mkdtempSync(join(tmpdir(), 'croft-base-'))
  sh(
    base,
    'mkdir -p src/deep work/d names; for f in src/one src/two src/deep/three work/w names/n secret; do echo x > $f; done',
  )
  sh(base, 'ln -s one src/link; chmod 755 src/two; chown -R 1000:1000 .')
  mounted = await mountedView({ base, rules: RULES, owner: { uid: 1000, gid: 1000 } })
})

afterEach(async () => {
  if (!(await has('root', 'fuse'))) return
  await mounted[Symbol.asyncDispose]()
  fs.rmSync(base, { recursive: true })
})

describe('the access trail', () => {
  it('has what was looked at, listed, read and written, each by its path', async () => {
    inside('cat src/one; readlink src/link; stat -c %n src/deep/three; ls work/d; echo x >> work/w; echo x > work/new')
    expect(await trail()).toEqual([
      'src: look',
      'src/deep: look',
      'src/deep/three: look',
      'src/link: look read',
      'src/one: look read',
      'work: look',
      'work/d: look list',
      'work/new: write',
      'work/w: look write',
    ])
  })

  it('has both names of what was moved, and a moved directory as such', async () => {
    inside('mv work/w work/v; mv work/d work/e; ln work/v work/u; rm work/u; mkdir work/gone; rmdir work/gone')
    expect(await trail()).toEqual([
      'work: look',
      'work/d: look remove move',
      'work/e: write move',
      'work/gone: write remove',
      'work/u: write remove',
      'work/v: write',
      'work/w: look remove',
    ])
  })

  it('counts what comes after a move for the new name', async () => {
    inside('echo a > work/a; mv work/a work/b; echo x >> work/b; mkdir work/p; echo x > work/p/f; mv work/p work/q')
    inside('echo x >> work/q/f; echo x >> work/q/f')
    const counts = new Map((await entries()).map((entry) => [entry.path, entry.write]))
    // Made and written; moved here and written.
    expect(counts.get('work/a')).toBe(2)
    expect(counts.get('work/b')).toBe(2)
    expect(counts.get('work/p/f')).toBe(2)
    expect(counts.get('work/q/f')).toBe(2)
  })

  it('counts what goes for the name that went, whatever other names the file had or has', async () => {
    inside('echo a > work/a; ln work/a work/b; cat work/b; rm work/a; cat work/b; rm work/b')
    inside('echo c > work/c; ln work/c work/d1; cat work/c; mv work/c work/e; cat work/e; rm work/e work/d1')
    inside('mkdir work/p; echo f > work/p/f; mv work/p work/q; rm work/q/f; mkdir work/z; rmdir work/z')
    const went = (await entries()).filter(({ remove }) => remove > 0).map(({ path, remove }) => [path, remove])
    expect(went.sort()).toEqual(['a', 'b', 'c', 'd1', 'e', 'p', 'q/f', 'z'].map((name) => [`work/${name}`, 1]))
  })

  it('has what the rules refuse: hidden names whether they are there or not, and names in what may not be written', async () => {
    for (const command of ['cat secret', 'cat secrets-not-there', 'rm src/one', 'mkdir src/new', 'mv work/w src/w']) {
      expect(() => inside(command, 1000)).toThrow()
    }
    expect(await refusals()).toEqual([
      'secret: view',
      'secrets-not-there: view',
      'src/new: write',
      'src/one: write',
      'src/w: write',
    ])
  })

  it('has what the kernel refuses by the modes that the view shows', async () => {
    for (const command of ['echo x >> src/one', 'cat names/n', 'exec 3<>src/deep/three']) {
      expect(() => inside(command, 1000)).toThrow()
    }
    expect(await refusals()).toEqual(['names/n: read', 'src/deep/three: write', 'src/one: write'])
  })

  it('does not take for a refusal what is allowed, however often it is asked', async () => {
    await mounted[Symbol.asyncDispose]()
    mounted = await mountedView({ base, rules: RULES, owner: { uid: 1000, gid: 1000 }, unprivileged: true })
    const look = 'ls -lR . ; stat src/one names/n; cat src/one src/one; test -r src/one; test -w work/w; find . -ls'
    inside(`${look}; ${look}; git -C src status; cat src/two; ls -l src; cat src/two; stat src/two`, 1000)
    expect(await refusals()).toEqual([])
  })

  it('has nothing of what is done from outside, nor of files that have no name', async () => {
    await mounted.view.write('work/outside', 'sandbox', chunks('x'), {})
    for await (const chunk of mounted.view.read('src/one', 'sandbox', 0)) expect(chunk.length).toBe(2)
    expect(await trail()).toEqual([])
    const fd = fs.openSync(join(mounted.path, 'work/w'), 'r+')
    fs.rmSync(join(mounted.path, 'work'), { recursive: true })
    const before = await trail()
    fs.writeSync(fd, 'y')
    expect(fs.readSync(fd, Buffer.alloc(1), 0, 1, 0)).toBe(1)
    fs.closeSync(fd)
    expect(await trail()).toEqual(before)
  })

  it('stays over a remount, and goes on', async () => {
    inside('cat src/one; cat secret || true; echo x > work/new')
    const before = await entries()
    await mounted.remount()
    expect(await entries()).toEqual(before)
    inside('cat src/one')
    const read = (all: TrailEntry[]) => all.find(({ path }) => path === 'src/one')?.read ?? 0
    expect(read(await entries())).toBe(read(before) + 1)
  })

  it('that was damaged begins anew, and says so', async () => {
    inside('cat src/one')
    await mounted.view.sync()
    const file = join(mounted.deltaDir, 'trail.json')
    const saved = fs.readFileSync(file, 'utf8')
    for (const damaged of [
      '',
      saved.slice(0, -5),
      saved.replace('"version":1', '"version":2'),
      '{"version":1,"entries":[[1]]}',
    ]) {
      await mounted.remount()
      await mounted.view.close()
      fs.writeFileSync(file, damaged)
      await mounted.remount()
      expect(await trail()).toEqual([])
      expect(mounted.log.at(-1)).toContain('begins anew')
    }
  })

  it('tells paths apart up to its limit, and beyond it the directory and how much', async () => {
    inside('ls work/d')
    const known = (await entries()).length
    const paths = Array.from({ length: TRAIL_PATHS_MAX - known - 1 }, (_, at) => `work/d/${at}`)
    await restartWith(paths)
    inside('echo x > work/d/fits')
    expect((await entries()).filter(({ isBelow }) => isBelow)).toEqual([])
    expect((await entries()).length).toBe(TRAIL_PATHS_MAX)
    inside('echo x > work/d/beyond')
    const beyond = (await entries()).filter(({ isBelow }) => isBelow)
    expect(beyond).toEqual([expect.objectContaining({ path: 'work/d', isDirectory: true, write: 2, read: 0 })])
    await mounted.remount()
    expect((await entries()).filter(({ isBelow }) => isBelow)).toEqual(beyond)
  })

  it('has a room of their own for names that were refused', async () => {
    fs.statSync(join(mounted.path, 'src'))
    for (let i = 0; i <= TRAIL_REFUSED_MAX; i++)
      expect(errorCode(() => fs.statSync(join(mounted.path, `src/secret${i}`)))).toBe('ENOENT')
    inside('cat src/one')
    const all = await entries()
    expect(all.filter(({ path }) => path.startsWith('src/secret')).length).toBe(TRAIL_REFUSED_MAX)
    expect(all.filter(({ isBelow }) => isBelow)).toEqual([expect.objectContaining({ path: 'src', refusedView: 1 })])
    expect(all.find(({ path }) => path === 'src/one')).toMatchObject({ isBelow: false, read: 1 })
  })

  it('has no more bytes of paths than its limit', async () => {
    const long = 'n'.repeat(4000)
    await restartWith(
      Array.from({ length: Math.floor(TRAIL_BYTES_MAX / 4096) }, (_, at) => `${at}`.padStart(96, '0') + long),
    )
    expect((await entries()).filter(({ isBelow }) => isBelow)).toEqual([])
    inside('echo x > work/new')
    expect((await entries()).filter(({ isBelow }) => isBelow)).toEqual([
      expect.objectContaining({ path: '', look: 1, write: 2 }),
    ])
  })
})

/** As after a run that wrote these paths once, too. */
async function restartWith(paths: readonly string[]): Promise<void> {
  await mounted.view.close()
  const file = join(mounted.deltaDir, 'trail.json')
  const saved = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : { version: 1, entries: [] }
  const more = paths.map((path) => [path, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0])
  fs.writeFileSync(file, JSON.stringify({ ...saved, entries: [...saved.entries, ...more] }))
  await mounted.remount()
}

async function entries(): Promise<TrailEntry[]> {
  const all: TrailEntry[] = []
  for await (const some of mounted.view.trail()) all.push(...some)
  return all.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** Each path with what was done there. */
async function trail(): Promise<string[]> {
  return (await entries()).map((entry) => {
    const uses = TRAIL_COUNTS.filter((name) => entry[name] > 0)
    return `${entry.path === '' ? '/' : entry.path}: ${uses.join(' ')}`
  })
}

async function refusals(): Promise<string[]> {
  return (await entries()).flatMap(({ path, refusedView, refusedRead, refusedWrite }) => [
    ...(refusedView > 0 ? [`${path}: view`] : []),
    ...(refusedRead > 0 ? [`${path}: read`] : []),
    ...(refusedWrite > 0 ? [`${path}: write`] : []),
  ])
}

async function* chunks(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text)
}

function inside(command: string, uid = 0): string {
  return sh(mounted.path, command, uid)
}

function sh(dir: string, command: string, uid = 0): string {
  return execFileSync('sh', ['-c', command], { cwd: dir, encoding: 'utf8', uid, gid: uid, stdio: 'pipe' })
}
