import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { changesBetween, type DiffOptions } from '../../fs-layer/diff/changes-between.ts'
import { EDITS_MAX, TEXT_MAX_BYTES } from '../../fs-layer/diff/limits.ts'
import { patchOf } from '../../fs-layer/diff/patch.ts'
import { importDirectory } from '../../fs-layer/store/import.ts'
import { type TemporaryStore, temporaryStore } from '../fixtures/temporary-store.ts'
import { needs } from '../needs.ts'

/** What stands at a path: contents and whether it is a program, or where a link leads. */
type Item = { readonly bytes: Buffer; readonly program: boolean } | { readonly link: string }
type Items = Readonly<Record<string, Item>>

/** More of them where there is time: CROFT_MODEL_RUNS multiplies. */
const TIMES = Number(process.env['CROFT_MODEL_RUNS'] ?? 1)

let temporary: TemporaryStore
let made = 0

beforeEach(async (context) => {
  await needs(context, 'git', 'patch')
  temporary = await temporaryStore()
})

afterEach(() => temporary?.[Symbol.asyncDispose]())

const names = fc.constantFrom('a', 'b', 'c d', 'ü', '"q"', 'tab\there', '.hidden')
const path = fc.array(names, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
const line = fc.constantFrom(
  'one',
  'two',
  'three',
  '',
  'a long line that is like no other one',
  'with\r',
  '\u00ff',
  '-- x',
)
const text = fc
  .tuple(fc.array(line, { maxLength: 30 }), fc.boolean())
  .map(([lines, ends]) => Buffer.from(lines.join('\n') + (ends ? '\n' : ''), 'latin1'))
const binary = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([Buffer.from([0, 1]), bytes]))

function itemsOf(contents: fc.Arbitrary<Buffer>, links: boolean): fc.Arbitrary<Items> {
  const file: fc.Arbitrary<Item> = fc.record({ bytes: contents, program: fc.boolean() })
  const link: fc.Arbitrary<Item> = fc.constantFrom('../b', 'nowhere', 'no/where').map((to) => ({ link: to }))
  const item = links ? fc.oneof({ weight: 5, arbitrary: file }, { weight: 1, arbitrary: link }) : file
  return fc.array(fc.tuple(path, item), { maxLength: 12 }).map(withoutClashes)
}

/** A file has nothing below it. */
function withoutClashes(entries: readonly (readonly [string, Item])[]): Items {
  const items: Record<string, Item> = {}
  for (const [at, item] of entries) {
    const clashes = Object.keys(items).some((other) => other.startsWith(`${at}/`) || at.startsWith(`${other}/`))
    if (!clashes) items[at] = item
  }
  return items
}

describe('a patch', () => {
  it(
    'makes one tree of another by git apply, and the first again by its reverse',
    async () => {
      const any = itemsOf(fc.oneof(text, binary), true)
      await fc.assert(
        fc.asyncProperty(any, any, async (before, after) => {
          const patch = await patchBetween(before, after)
          const dir = plant(before)
          apply(dir, patch)
          expect(found(dir)).toEqual(found(plant(after)))
          apply(dir, patch, '--reverse')
          expect(found(dir)).toEqual(found(plant(before)))
        }),
        { numRuns: 20 * TIMES },
      )
    },
    60_000 * TIMES,
  )

  it(
    'of texts makes one tree of another by patch(1)',
    async () => {
      const texts = fc.uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'd/c', 'd/e f', 'g/h'), text), {
        selector: ([at]) => at,
      })
      const items = texts.map((all) =>
        Object.fromEntries(all.map(([at, bytes]) => [at, { bytes: Buffer.from(`${at}\n${bytes}`), program: false }])),
      )
      await fc.assert(
        fc.asyncProperty(items, items, async (before, after) => {
          const dir = plant(before)
          const input = await patchBetween(before, after)
          if (input.length > 0) execFileSync('patch', ['-p1', '--no-backup-if-mismatch', '-s'], { cwd: dir, input })
          expect(found(dir)).toEqual(found(plant(after)))
        }),
        { numRuns: 10 * TIMES },
      )
    },
    60_000 * TIMES,
  )

  it('has a file that moved as that, with what it changed', async () => {
    const lines = Array.from({ length: 40 }, (_, n) => `line ${n}\n`)
    const before = { 'old/name': file(lines.join('')), same: file('the same\n') }
    const after = { 'new/name': file(lines.with(7, 'another\n').join('')), 'd/same': file('the same\n') }
    const patch = (await patchBetween(before, after)).toString()
    expect(patch).toContain('similarity index 100%\nrename from same\nrename to d/same\n')
    expect(patch).toMatch(/similarity index 9\d%\nrename from old\/name\nrename to new\/name\nindex /)
    expect(patch).toContain('@@ -5,7 +5,7 @@')
  })

  it('has each file of a directory that moved', async () => {
    const before = { 'd/one': file('1\n'), 'd/e/two': file('2\n') }
    const patch = (await patchBetween(before, { 'n/one': file('1\n'), 'n/e/two': file('2\n') })).toString()
    expect(patch.match(/rename from (.*)/g)?.sort()).toEqual(['rename from d/e/two', 'rename from d/one'])
  })

  it('leaves out .git, which git apply refuses', async () => {
    const before = { '.git/config': file('x\n'), 'sub/.GIT/x': file('x\n'), a: file('a\n') }
    const after = { '.git/config': file('y\n'), '.git/new': file('y\n'), a: file('b\n') }
    expect((await patchBetween(before, after)).toString().match(/^diff --git.*/gm)).toEqual(['diff --git a/a b/a'])
  })

  it.each([
    ['of the largest size that is a text', TEXT_MAX_BYTES, false],
    ['of one byte more', TEXT_MAX_BYTES + 1, true],
  ])('of a text %s is made', async (_, size, isBinary) => {
    const [before, after] = [file('x\n'.repeat(size / 2).padEnd(size, 'x')), file('short\n')]
    const patch = await patchBetween({ a: before }, { a: after })
    expect(patch.includes('GIT binary patch')).toBe(isBinary)
    const dir = plant({ a: before })
    apply(dir, patch)
    expect(found(dir)).toEqual(found(plant({ a: after })))
  })

  it('of texts with too little in common replaces all of it', async () => {
    const lines = (word: string) => file(Array.from({ length: EDITS_MAX }, (_, n) => `${word} ${n}\n`).join(''))
    const [before, after] = [{ a: lines('before') }, { a: lines('after') }]
    const patch = await patchBetween(before, after)
    expect(patch.toString()).toContain(`@@ -1,${EDITS_MAX} +1,${EDITS_MAX} @@`)
    const dir = plant(before)
    apply(dir, patch)
    expect(found(dir)).toEqual(found(plant(after)))
  })
})

describe('changes between two versions', () => {
  it('are what became of each path', async () => {
    const before = {
      kept: file('kept\n'),
      modified: file('1\n'),
      program: file('same\n'),
      kind: file('x\n'),
      gone: file('gone, and unlike the others\n'),
      'moved/as/it/was': file('moved\n'),
    }
    const after = {
      kept: file('kept\n'),
      modified: file('2\n'),
      program: { bytes: Buffer.from('same\n'), program: true },
      kind: { link: 'x' },
      made: file('of which nothing was there before\n'),
      'to/as/it/was': file('moved\n'),
    }
    expect(await changes(before, after)).toEqual([
      'deleted gone',
      'type kind',
      'created made',
      'modified modified',
      'mode program',
      'renamed to from moved 100%',
    ])
  })

  it('name all that was in a directory that is gone, and in one that is new', async () => {
    const expected = ['deleted d', 'deleted d/e', 'deleted d/e/f', 'created g', 'created g/h']
    expect(await changes({ 'd/e/f': file('1\n') }, { 'g/h': file('other, and much longer\n') })).toEqual(expected)
  })

  it('tell of a directory that became a file, and the other way round', async () => {
    const [one, other] = [{ 'd/f': file('1\n') }, { d: file('long enough to be no move\n') }]
    expect(await changes(one, other)).toEqual(['type d', 'deleted d/f'])
    expect(await changes(other, one)).toEqual(['type d', 'created d/f'])
  })

  it('are told of what is seen, as if nothing else were there', async () => {
    const before = { 'hidden/a': file('moves out\n'), 'seen/b': file('moves in\n'), 'seen/c': file('stays in sight\n') }
    const after = { 'seen/a': file('moves out\n'), 'hidden/b': file('moves in\n'), 'also/c': file('stays in sight\n') }
    const isSeen = (at: string) => !at.startsWith('hidden')
    expect(await changes(before, after, { isSeen })).toEqual([
      'created also',
      'renamed also/c from seen/c 100%',
      'created seen/a',
      'deleted seen/b',
    ])
    const isRead = (at: string) => at !== 'seen/c'
    expect(await changes(before, after, { isSeen, isRead })).toContain('created also/c')
  })
})

function file(text: string): Item {
  return { bytes: Buffer.from(text), program: false }
}

function plant(items: Items): string {
  const dir = join(temporary.scratch, String(made++))
  fs.mkdirSync(dir)
  for (const [at, item] of Object.entries(items)) {
    const to = join(dir, at)
    fs.mkdirSync(join(to, '..'), { recursive: true })
    if ('link' in item) fs.symlinkSync(item.link, to)
    else fs.writeFileSync(to, item.bytes, { mode: item.program ? 0o755 : 0o644 })
    fs.lutimesSync(to, 1, 1)
  }
  // As of what was moved, and not written anew.
  for (const at of fs.readdirSync(dir, { recursive: true, encoding: 'utf8' })) fs.lutimesSync(join(dir, at), 1, 1)
  return dir
}

/** Git keeps no empty directories, and no more of a mode. */
function found(dir: string): Record<string, unknown> {
  const all: Record<string, unknown> = {}
  for (const entry of fs.readdirSync(dir, { recursive: true, withFileTypes: true })) {
    const at = join(entry.parentPath, entry.name)
    const name = at.slice(dir.length + 1)
    if (entry.isSymbolicLink()) all[name] = `-> ${fs.readlinkSync(at)}`
    else if (entry.isFile()) all[name] = [fs.readFileSync(at, 'latin1'), (fs.statSync(at).mode & 0o100) !== 0]
  }
  return all
}

async function roots(before: Items, after: Items): Promise<[string, string]> {
  const { store } = temporary
  return [(await importDirectory(store, plant(before))).hash, (await importDirectory(store, plant(after))).hash]
}

async function patchBetween(before: Items, after: Items): Promise<Buffer> {
  const [from, to] = await roots(before, after)
  const chunks: Buffer[] = []
  const { store } = temporary
  for await (const chunk of patchOf(store, await changesBetween(store, from, to))) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function changes(before: Items, after: Items, options: DiffOptions = {}): Promise<string[]> {
  const [from, to] = await roots(before, after)
  return (await changesBetween(temporary.store, from, to, options)).map((change) =>
    change.kind === 'renamed'
      ? `renamed ${change.path} from ${change.from} ${change.similarity}%`
      : `${change.kind} ${change.path}`,
  )
}

function apply(dir: string, patch: Buffer, ...more: string[]): void {
  if (patch.length === 0) return
  const env = { ...process.env, GIT_CEILING_DIRECTORIES: temporary.scratch, GIT_CONFIG_NOSYSTEM: '1', HOME: dir }
  execFileSync('git', ['apply', '--whitespace=nowarn', ...more], { cwd: dir, input: patch, env })
}
