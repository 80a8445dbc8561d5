import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Rule } from '../../fs-layer/policy/rule.ts'
import { fold } from '../../fs-layer/store/fold.ts'
import { importDirectory } from '../../fs-layer/store/import.ts'
import { list, lookup } from '../../fs-layer/store/lookup.ts'
import { foldView } from '../fixtures/fold-view.ts'
import { type MountedView, mountedView } from '../fixtures/mounted-view.ts'
import { has, needs } from '../needs.ts'
import { plant } from './model/planted.ts'
import { startSide } from './model/side.ts'
import { type Step, sequence, stepAmong } from './model/steps.ts'

/** More of them where there is time: CROFT_MODEL_RUNS multiplies. */
const TIMES = Number(process.env['CROFT_MODEL_RUNS'] ?? 1)
const NAMES = ['a', 'b', 'c', 'd', '\xff\xfe', 'n'.repeat(255)]
const WRITE_ALL: Rule = { pattern: '**', type: 'glob', level: 'write' }
const HIDDEN: readonly Rule[] = [WRITE_ALL, { pattern: '**/c', type: 'glob', level: 'none', priority: 1 }]

let scratch: string
let mounted: MountedView

beforeEach(async (context) => {
  await needs(context, 'root', 'fuse')
  scratch = fs.mkdtempSync(join(tmpdir(), 'croft-fold-'))
})

afterEach(async () => {
  if (!(await has('root', 'fuse'))) return
  await mounted[Symbol.asyncDispose]()
  fs.rmSync(scratch, { recursive: true })
})

describe('a view folded into a version', () => {
  it.each([
    ['of which all is shown', [WRITE_ALL]],
    ['of which a part is hidden', HIDDEN],
  ])(
    'is what an import of its export is, after any sequence of calls, of one %s',
    async (_, rules) => {
      await using side = await startSide({ uids: [0, 0, 0], reusesNumbers: false })
      const base = join(scratch, 'base')
      let runs = 0
      mounted = await mountedView()
      await fc.assert(
        fc.asyncProperty(sequence(stepAmong(NAMES), 250), async (steps) => {
          fs.mkdirSync(base)
          plant(base)
          await using view = await mountedView({ base, rules })
          await side.enter(view.path, view.path)
          try {
            for (const step of steps) if (!isBefore1970(step)) await side.make(step)
            const folded = await foldView(view.store, view)
            const imported = await importOfExport(view, join(scratch, `out-${runs++}`))
            // Not the hashes first: these say what it is.
            expect(await shown(view, folded.hash)).toEqual(await shown(view, imported))
            expect(folded.hash).toBe(imported)
          } finally {
            await side.leave()
            fs.rmSync(base, { recursive: true })
          }
        }),
        { numRuns: 4 * TIMES, endOnFailure: true },
      )
    },
    120_000 * TIMES,
  )

  it('is its base where nothing changed, or all is again as it was', async () => {
    mounted = await planted('mkdir -p a/b; echo x > a/b/c; touch -d @1 a/b a .')
    expect((await foldView(mounted.store, mounted)).hash).toBe(mounted.base)
    inside('mv a z; mv z a; touch -d @1 a .; chmod 700 a/b; chmod 755 a/b; touch -d @1 a/b')
    expect((await foldView(mounted.store, mounted)).hash).toBe(mounted.base)
  })

  it('keeps a file of the base under the name that it has left, of the two that it had', async () => {
    mounted = await planted('mkdir d; echo x > d/one; echo y > two')
    inside('ln d/one other; rm d/one; ln two d/second')
    expect(await paths()).toEqual(['d', 'd/second', 'other', 'two'])
  })

  it('has a moved directory of the base with the very trees that it had', async () => {
    mounted = await planted('mkdir -p a/b/c; echo x > a/b/c/file; echo y > a/y; mkdir to')
    const before = lookup(mounted.store, mounted.base, 'a/b')
    inside('mv a/b to/b; echo z > a/z')
    const { hash, root } = await foldView(mounted.store, mounted)
    expect(lookup(mounted.store, hash, 'to/b')).toEqual(before)
    expect(root).toMatchObject({ files: 3, inodes: 8 })
  })

  it('has nothing of a directory that was removed and made anew but what is new', async () => {
    mounted = await planted('mkdir -p a/b; echo x > a/b/old; echo y > a/old')
    inside('rm -r a; mkdir a; echo z > a/new')
    expect(await paths()).toEqual(['a', 'a/new'])
  })

  it('leaves out FIFOs and sockets, and says how many', async () => {
    mounted = await planted('echo x > file')
    inside('mkfifo fifo; rm file; mkfifo file')
    expect(await foldView(mounted.store, mounted)).toMatchObject({ skipped: 2, root: { files: 0, inodes: 1 } })
  })

  it('has what is hidden in a directory that the sandbox removed', async () => {
    mounted = await planted('mkdir -p d/e; echo x > d/e/c; echo y > d/seen', HIDDEN)
    inside('rm -r d')
    expect(await paths()).toEqual(['d', 'd/e', 'd/e/c'])
    inside('mkdir -p d/e; echo z > d/e/new')
    expect(await paths()).toEqual(['d', 'd/e', 'd/e/c', 'd/e/new'])
  })

  it('has a sparse file of the size that it has, and a blob that takes no more room than the file', async () => {
    mounted = await planted(':')
    inside('truncate -s 100M sparse; echo end >> sparse')
    const { hash } = await foldView(mounted.store, mounted)
    const entry = lookup(mounted.store, hash, 'sparse')
    expect(entry).toMatchObject({ size: 100 * 2 ** 20 + 4 })
    const blob = mounted.store.blobSync(entry.kind === 'file' ? entry.hash : '')
    expect('path' in blob && fs.statSync(blob.path).blocks * 512).toBeLessThan(2 ** 20)
    await mounted.store.verifyBlob(entry.kind === 'file' ? entry.hash : '')
  })

  it('is refused where a path is longer than a path may be', async () => {
    mounted = await planted(':')
    inside(`for i in $(seq 20); do mkdir ${'n'.repeat(250)}; cd ${'n'.repeat(250)}; done`)
    await expect(foldView(mounted.store, mounted)).rejects.toThrow('ENAMETOOLONG')
  })

  it('is refused where a file is larger than it may be', async () => {
    mounted = await planted(':')
    inside('head -c 100001 /dev/zero > large')
    const folding = fold(mounted.store, mounted.base, mounted.view.cut(), { maxFileBytes: 100_000 })
    await expect(folding).rejects.toMatchObject({ code: 'limit' })
  })
})

describe('a view that is changed while it is folded', () => {
  it('is folded as it was at one moment', async () => {
    mounted = await planted('echo base > base; head -c 6000000 /dev/zero > grown')
    inside('echo small > small; head -c 9000000 /dev/urandom > large; head -c 100000 /dev/urandom > middle')
    inside('echo x >> grown; cp large removed; cp small gone; head -c 200000 /dev/urandom > cut')
    const expected = await importOfExport(mounted, join(scratch, 'before'))
    const parts = mounted.view.cut()
    const started = parts[Symbol.asyncIterator]()
    const first = await started.next()
    inside('echo changed | tee small base middle > /dev/null; rm removed gone; mv large elsewhere; truncate -s 7 cut')
    inside(
      'fallocate -z -o 0 -l 100 elsewhere; dd if=/dev/zero of=grown bs=1k count=1 conv=notrunc status=none; mkdir new',
    )
    const rest = (async function* () {
      if (first.done !== true) yield first.value
      yield* { [Symbol.asyncIterator]: () => started }
    })()
    const { hash } = await fold(mounted.store, mounted.base, rest, { maxFileBytes: 2 ** 40 })
    expect(hash).toBe(expected)
    expect(fs.readdirSync(join(mounted.deltaDir, 'moments'))).toEqual([])
    expect((await foldView(mounted.store, mounted)).hash).toBe(await importOfExport(mounted, join(scratch, 'after')))
  })

  it('is folded without an error while programs write to all of it, and they meet none', async () => {
    mounted = await planted('for i in $(seq 50); do echo $i > $i; done')
    const script = 'for n in $(seq 150); do f=$((n % 60)); echo $n >> $f || exit 1; mv $f r$f; rm -f r$((n % 7)); done'
    const writer = spawn('bash', ['-c', script], { cwd: mounted.path, stdio: 'ignore' })
    const ended = once(writer, 'exit')
    let ends = false
    void ended.then(() => {
      ends = true
    })
    for (let folds = 0; folds < 3 || !ends; folds++) await foldView(mounted.store, mounted)
    expect(await ended).toEqual([0, null])
  })

  it('keeps no copies where its reader goes away', async () => {
    mounted = await planted(':')
    inside('head -c 300000 /dev/urandom > a; head -c 300000 /dev/urandom > b')
    for await (const _ of mounted.view.cut()) {
      inside('echo x >> a; echo x >> b')
      expect(fs.readdirSync(join(mounted.deltaDir, 'moments')).length).toBeGreaterThan(0)
      break
    }
    expect(fs.readdirSync(join(mounted.deltaDir, 'moments'))).toEqual([])
  })
})

/** A tar has no fractions of such times. */
function isBefore1970({ args }: Step): boolean {
  return args.some((arg) => Array.isArray(arg) && (arg[0] as number) < 0)
}

async function planted(script: string, rules: readonly Rule[] = [WRITE_ALL]): Promise<MountedView> {
  const base = join(scratch, 'base')
  fs.mkdirSync(base)
  sh(base, script)
  return await mountedView({ base, rules })
}

/** The root is not in a tar; it is given what the view's has. */
async function importOfExport({ view, path, store }: MountedView, to: string): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of view.exportTar({ content: 'view', as: 'owner' })) chunks.push(chunk)
  const { mode } = await view.stat('', 'owner')
  const { mtimeNs } = fs.statSync(path, { bigint: true })
  fs.mkdirSync(to)
  execFileSync('tar', ['-xpf', '-', '-C', to], { input: Buffer.concat(chunks), stdio: ['pipe', 'ignore', 'ignore'] })
  fs.chmodSync(to, mode)
  execFileSync('touch', ['-d', `@${mtimeNs / 1_000_000_000n}.${String(mtimeNs % 1_000_000_000n).padStart(9, '0')}`, to])
  return (await importDirectory(store, to)).hash
}

async function shown({ store }: MountedView, root: string): Promise<unknown> {
  const all: unknown[] = []
  for await (const { path, entry } of list(store, root, '', true)) all.push({ path, ...entry })
  return { root: store.rootSync(root), all }
}

async function paths(): Promise<string[]> {
  const { hash } = await foldView(mounted.store, mounted)
  const all: string[] = []
  for await (const { path } of list(mounted.store, hash, '', true)) all.push(path)
  return all
}

function inside(script: string): string {
  return sh(mounted.path, script)
}

function sh(cwd: string, script: string): string {
  return execFileSync('bash', ['-ec', script], { cwd, encoding: 'latin1', stdio: ['ignore', 'pipe', 'pipe'] })
}
