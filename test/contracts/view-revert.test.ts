import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Rule } from '../../fs-layer/policy/rule.ts'
import { list } from '../../fs-layer/store/lookup.ts'
import { deferred } from '../../server/concurrency/deferred.ts'
import { foldView } from '../fixtures/fold-view.ts'
import { type MountedView, type MountedViewOptions, mountedView } from '../fixtures/mounted-view.ts'
import { revertView } from '../fixtures/revert-view.ts'
import { has, needs } from '../needs.ts'
import { plant } from './model/planted.ts'
import { startSide } from './model/side.ts'
import { sequence, stepAmong } from './model/steps.ts'

const TIMES = Number(process.env['CROFT_MODEL_RUNS'] ?? 1)
const NAMES = ['a', 'b', 'c', 'd', '\xff\xfe', 'n'.repeat(255)]
const WRITE_ALL: Rule = { pattern: '**', type: 'glob', level: 'write' }
const HIDDEN: readonly Rule[] = [WRITE_ALL, { pattern: '**/.env', type: 'glob', level: 'none', priority: 1 }]

let scratch: string
let mounted: MountedView

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse')
  scratch = fs.mkdtempSync(join(tmpdir(), 'croft-revert-'))
})

afterEach(async () => {
  if (!(await has('root', 'fuse'))) return
  await mounted[Symbol.asyncDispose]()
  fs.rmSync(scratch, { recursive: true })
})

describe('a view that goes back to what it was', () => {
  it.each([
    ['gathers writes', true],
    ['does not', false],
  ])(
    'is that version again, and is seen so inside, after any sequence of calls, where the kernel %s',
    async (_, unprivileged) => {
      await using side = await startSide({ uids: [0, 0, 0], reusesNumbers: false })
      const base = join(scratch, 'base')
      mounted = await mountedView()
      await fc.assert(
        fc.asyncProperty(
          sequence(stepAmong(NAMES), 120),
          sequence(stepAmong(NAMES), 120),
          fc.boolean(),
          async (before, after, toBase) => {
            fs.mkdirSync(base)
            plant(base)
            await using view = await mountedView({ base, rules: [WRITE_ALL], unprivileged })
            await side.enter(view.path, view.path)
            try {
              for (const step of before) await side.make(step)
              const wanted = toBase ? view.base : (await foldView(view.store, view)).hash
              for (const step of after) await side.make(step)
              await revertView(view, wanted)
              const folded = await foldView(view.store, view)
              // Not the hashes first: these say what it is.
              expect(await shown(view, folded.hash)).toEqual(await shown(view, wanted))
              expect(folded.hash).toBe(wanted)
              expect(seen(view.path)).toEqual(await kept(view, wanted))
            } finally {
              await side.leave()
              fs.rmSync(base, { recursive: true })
            }
          },
        ),
        { numRuns: 3 * TIMES, endOnFailure: true },
      )
    },
    120_000 * TIMES,
  )

  it('has no change and takes no room when it goes back to its base, whatever was done to it', async () => {
    await planted('mkdir -p a/b/c; echo x > a/b/c/file; head -c 50000 /dev/zero > a/large; ln -s a link; echo y > top')
    inside(
      'mv a/b moved; rm -r moved/c; echo more >> a/large; rm link top; echo new > a/new; mkdir -p n/e/w; chmod 700 a',
    )
    await revertView(mounted, mounted.base)
    expect(await changes()).toEqual([])
    expect(await mounted.view.usage()).toEqual({ bytes: 0, inodes: 0 })
    expect((await foldView(mounted.store, mounted)).hash).toBe(mounted.base)
  })

  it('brings a moved directory back as it is, instead of a copy', async () => {
    await planted('mkdir -p big/deep; seq 1000 > big/deep/file')
    inside('mv big elsewhere')
    const done = await revertView(mounted, mounted.base)
    expect(done).toEqual([{ path: 'big', what: 'moved' }])
    expect(await mounted.view.usage()).toMatchObject({ bytes: 0 })
  })

  it('leaves a file that was moved out of a directory that is gone in one place only', async () => {
    await planted('mkdir d; echo x > d/x; echo y > d/y')
    inside('mv d/x x; rm -r d')
    const wanted = (await foldView(mounted.store, mounted)).hash
    inside('mkdir d; echo z > d/x; rm x')
    await revertView(mounted, wanted)
    expect(inside('find . | sort; cat x')).toBe('.\n./x\nx\n')
    await revertView(mounted, mounted.base)
    expect(inside('find . | sort; cat d/x d/y')).toBe('.\n./d\n./d/x\n./d/y\nx\ny\n')
  })

  it('undoes only what is under given paths, with the directories on the way', async () => {
    await planted('mkdir -p a/b c; echo 1 > a/b/one; echo 2 > a/two; echo 3 > c/three')
    inside('echo x > a/b/one; echo x > a/b/new; echo x > a/two; rm -r c; echo x > d')
    await revertView(mounted, mounted.base, ['a/b', 'c/three'])
    expect(inside('cat a/b/one a/two c/three d; ls a/b')).toBe('1\nx\n3\nx\none\n')
    inside('rm -r a')
    await revertView(mounted, mounted.base, ['a/b/one'])
    expect(inside('find a; cat a/b/one')).toBe('a\na/b\na/b/one\n1\n')
  })

  it('keeps an open file for who has it open, and gives the old one to who opens it anew', async () => {
    await planted('echo before > file; echo x > other')
    await using shell = startShell()
    await shell.run('exec 3<>file 4<>made; printf after! >&3')
    await revertView(mounted, mounted.base)
    await shell.run('printf late >&3; printf "still there" >&4')
    expect(await shell.run('cat file; cat /proc/self/fd/3; echo; cat /proc/self/fd/4; echo; ls')).toBe(
      'before\nafter!late\nstill there\nfile\nother\n',
    )
    await shell.run('exec 3>&- 4>&-')
    expect(await changes()).toEqual([])
  })

  it('lets a program that stands in a directory which comes back go on', async () => {
    await planted('mkdir d; echo x > d/x')
    await using shell = startShell()
    await shell.run('cd d; rm -r ../d')
    await revertView(mounted, mounted.base)
    expect(await shell.run('ls; cd ../d && cat x')).toBe('x\n')
  })

  it('never touches what the rules hide, moved, changed from outside or made since', async () => {
    await planted('mkdir -p conf keep; echo secret > conf/.env; echo a > conf/a; echo b > keep/.env', HIDDEN)
    inside('mv conf away; echo x > away/a; rm -r keep; mkdir new; echo n > new/n')
    await write('away/.env', 'rotated')
    await write('new/.env', 'fresh')
    await revertView(mounted, mounted.base)
    expect(inside('find . | sort; cat conf/a')).toBe('.\n./conf\n./conf/a\na\n')
    const { hash } = await foldView(mounted.store, mounted)
    const paths = (await shown(mounted, hash)).all.map(({ path }) => path)
    expect(paths).toEqual(['conf', 'conf/.env', 'conf/a', 'keep', 'keep/.env', 'new', 'new/.env'])
    expect(await readAsOwner('conf/.env')).toBe('rotated')
  })

  it('brings back what is larger than the quota has room for beside what is there', async () => {
    await planted('echo x > x', [WRITE_ALL], { quota: { bytes: 300_000 } })
    inside('head -c 250000 /dev/urandom > one')
    const wanted = (await foldView(mounted.store, mounted)).hash
    inside('rm one')
    await using shell = startShell()
    await shell.run('exec 3<>two; head -c 200000 /dev/zero >&3')
    await revertView(mounted, wanted)
    expect(fs.statSync(join(mounted.path, 'one')).size).toBe(250_000)
    expect(await mounted.view.usage()).toMatchObject({ bytes: 253_952 + 200_704 })
    expect(await shell.run('echo more > three || echo refused')).toBe('refused\n')
    await shell.run('exec 3>&-')
    expect(await shell.run('echo more > three && cat three')).toBe('more\n')
  })

  it('tells who watches', async () => {
    await planted('echo x > file')
    inside('echo y > file; echo z > new')
    const ended = new AbortController()
    const paths = new Set<string>()
    const started = deferred<void>()
    const watching = (async () => {
      for await (const events of mounted.view.watch({ path: '' }, 'owner', ended.signal)) {
        started.resolve()
        for (const event of events) if ('path' in event) paths.add(event.path)
        if (paths.has('new') && paths.has('file')) return
      }
    })()
    await started.promise
    await revertView(mounted, mounted.base)
    await watching
    ended.abort()
  })

  it('is as it was after the server dies right behind the answer', async () => {
    await planted('mkdir d; echo x > d/x; echo y > y')
    inside('rm -r d; echo z > y')
    await revertView(mounted, mounted.base)
    await mounted.remount()
    expect(await changes()).toEqual([])
    expect(inside('cat d/x y')).toBe('x\ny\n')
  })
})

async function planted(script: string, rules: readonly Rule[] = [WRITE_ALL], more: MountedViewOptions = {}) {
  const base = join(scratch, 'base')
  fs.mkdirSync(base)
  sh(base, script)
  mounted = await mountedView({ base, rules, ...more })
}

async function changes(): Promise<unknown[]> {
  const all: unknown[] = []
  for await (const some of mounted.view.changes()) all.push(...some)
  return all
}

async function write(path: string, text: string): Promise<void> {
  const data = (async function* () {
    yield Buffer.from(text)
  })()
  await mounted.view.write(path, 'owner', data, {})
}

async function readAsOwner(path: string): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of mounted.view.read(path, 'owner', 0)) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** One that stays: what it has open, this process must not. */
function startShell() {
  const shell = spawn('bash', [], { cwd: mounted.path, stdio: ['pipe', 'pipe', 'ignore'] })
  const exited = once(shell, 'exit')
  let output = ''
  shell.stdout.setEncoding('latin1')
  return {
    async run(script: string): Promise<string> {
      shell.stdin.write(`${script}\necho end-of-it\n`)
      while (!output.endsWith('end-of-it\n')) output += (await once(shell.stdout, 'data'))[0] as string
      const said = output.slice(0, -'end-of-it\n'.length)
      output = ''
      return said
    },
    async [Symbol.asyncDispose]() {
      shell.kill('SIGKILL')
      await exited
    },
  }
}

async function shown({ store }: MountedView, root: string) {
  const all: { path: string }[] = []
  for await (const { path, entry } of list(store, root, '', true)) all.push({ path, ...entry })
  return { root: store.rootSync(root), all }
}

/** Of each path: what a program sees there. */
function seen(dir: string): Record<string, unknown> {
  const found: Record<string, unknown> = {}
  const walk = (path: Buffer, name: string) => {
    for (const each of fs.readdirSync(path, { encoding: 'buffer' })) {
      const child = Buffer.concat([path, Buffer.from('/'), each])
      const text = `${name}${name === '' ? '' : '/'}${each.toString('latin1')}`
      const { mode } = fs.lstatSync(child)
      const type = mode & 0o170000
      if (type === 0o040000) walk(child, text)
      if (type === 0o040000) found[text] = mode
      else if (type === 0o120000) found[text] = fs.readlinkSync(child, { encoding: 'latin1' })
      else if (type === 0o100000) found[text] = [mode, sha256(fs.readFileSync(child))]
    }
  }
  walk(Buffer.from(dir), '')
  return found
}

async function kept({ store }: MountedView, root: string): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {}
  for await (const { path, entry } of list(store, root, '', true)) {
    if (entry.kind === 'directory') found[path] = 0o040000 | entry.mode
    else found[path] = entry.kind === 'symlink' ? entry.target : [0o100000 | entry.mode, entry.hash]
  }
  return found
}

function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}

function inside(script: string): string {
  return sh(mounted.path, script)
}

function sh(cwd: string, script: string): string {
  return execFileSync('bash', ['-ec', script], { cwd, encoding: 'latin1', stdio: ['ignore', 'pipe', 'pipe'] })
}
