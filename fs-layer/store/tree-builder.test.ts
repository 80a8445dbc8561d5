import { randomBytes } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { collect } from '../../test/fixtures/collect.ts'
import { temporaryStore } from '../../test/fixtures/temporary-store.ts'
import { hashBytes } from './hash.ts'
import { MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_TARGET_BYTES } from './limits.ts'
import { list } from './lookup.ts'
import type { Store } from './store.ts'
import { type NewEntry, TreeBuilder, type TreeBuilderOptions } from './tree-builder.ts'

const contents = Buffer.from('contents')
const common = { mode: 0o644, mtime: 7, mtimeNsec: 8 }
const file = (path: string): NewEntry => ({
  ...common,
  kind: 'file',
  path,
  size: contents.length,
  hash: hashBytes(contents),
})
const directory = (path: string): NewEntry => ({ ...common, kind: 'directory', path, mode: 0o755 })
const link = (path: string, target: string): NewEntry => ({ ...common, kind: 'symlink', path, target })

async function build(store: Store, entries: readonly NewEntry[], options: TreeBuilderOptions = {}) {
  const builder = new TreeBuilder(options, { store })
  for (const entry of entries) builder.add(entry)
  return builder.finish()
}

describe('a version', () => {
  it('has all that was added, sorted by bytes, with exact sums', async () => {
    await using made = await temporaryStore()
    await made.store.putSmallBlobs([{ data: contents }])
    const { hash, root } = await build(made.store, [
      directory('b'),
      file('b/\xff'),
      file('z'),
      directory('b/empty'),
      link('b/a', '../z'),
      file('a.b'),
      { ...directory(''), mode: 0o700, mtime: 1, mtimeNsec: 2 },
    ])
    expect(root).toMatchObject({ mode: 0o700, mtime: 1, mtimeNsec: 2, inodes: 7, bytes: 24, files: 4 })
    expect(made.store.rootSync(hash)).toEqual(root)
    const listed = await collect(list(made.store, hash, '', true))
    expect(listed.map(({ path }) => path)).toEqual(['a.b', 'b', 'b/a', 'b/empty', 'b/\xff', 'z'])
    expect(listed[1]?.entry).toMatchObject({ kind: 'directory', mode: 0o755, inodes: 4, bytes: 8 })
    expect(listed[2]?.entry).toEqual({ ...common, kind: 'symlink', name: 'a', target: '../z' })
    expect(listed[3]?.entry).toMatchObject({ kind: 'directory', inodes: 1, bytes: 0 })
  })

  it('has the same hash in whatever order its entries came', async () => {
    await using made = await temporaryStore()
    await made.store.putSmallBlobs([{ data: contents }])
    const first = await build(made.store, [directory('a'), directory('b'), file('a/1'), file('b/2'), file('c')])
    const second = await build(made.store, [file('c'), directory('b'), file('b/2'), directory('a'), file('a/1')])
    expect(second.hash).toBe(first.hash)
  })

  it('without an entry is an empty directory', async () => {
    await using made = await temporaryStore()
    const { root } = await build(made.store, [])
    expect(root).toMatchObject({ mode: 0o755, inodes: 1, bytes: 0, files: 0 })
    expect(made.store.treeSync(root.tree).entries).toEqual([])
  })

  it('of more trees than fit one batch is all there', async () => {
    await using made = await temporaryStore()
    await made.store.putSmallBlobs([{ data: contents }])
    const paths = Array.from({ length: 300 }, (_, index) => `d${String(index).padStart(3, '0')}`)
    const names = Array.from({ length: 80 }, (_, index) => randomBytes(100).toString('hex') + index)
    const { hash, root } = await build(
      made.store,
      paths.flatMap((path) => [directory(path), ...names.map((name) => file(`${path}/${path}${name}`))]),
    )
    const store = await made.reopen()
    expect(root.files).toBe(24_000)
    expect(await collect(list(store, hash, '', true))).toHaveLength(24_300)
  })

  it('may be as deep as a path is long', async () => {
    await using made = await temporaryStore()
    const deep = Array.from({ length: MAX_PATH_BYTES / 2 }, (_, depth) => directory(`${'d/'.repeat(depth)}d`))
    const { hash, root } = await build(made.store, deep)
    expect(root.inodes).toBe(MAX_PATH_BYTES / 2 + 1)
    expect((await collect(list(made.store, hash, '', true))).at(-1)?.path).toHaveLength(MAX_PATH_BYTES - 1)
  })

  it('is not made of files whose blobs are not there, or have another size', async () => {
    await using made = await temporaryStore()
    const entries = [directory('a'), directory('a/b'), file('a/b/c')]
    await expect(build(made.store, entries)).rejects.toMatchObject({ code: 'missing', path: 'a/b/c' })
    await made.store.putSmallBlobs([{ data: contents }])
    const lie = { ...file('a/b/d'), size: 1e12 } as NewEntry
    await expect(build(made.store, [...entries, lie])).rejects.toMatchObject({ code: 'mismatch', path: 'a/b/d' })
    await build(made.store, entries)
  })

  it('tells each blob that is missing once', async () => {
    await using made = await temporaryStore()
    const other = { ...file('c'), hash: hashBytes(Buffer.from('other')), size: 5 } as NewEntry
    const builder = new TreeBuilder({}, { store: made.store })
    for (const entry of [file('a'), file('b'), other, link('l', 't')]) builder.add(entry)
    expect(await collect(builder.missingBlobs())).toEqual([[hashBytes(contents), hashBytes(Buffer.from('other'))]])
    await made.store.putSmallBlobs([{ data: contents }, { data: Buffer.from('other') }])
    expect(await collect(builder.missingBlobs())).toEqual([])
  })
})

describe('an entry', () => {
  const deepest = `${'d'.repeat(255)}/`.repeat(15) + 'd'.repeat(253)
  let builder: TreeBuilder

  beforeAll(async () => {
    await using made = await temporaryStore()
    builder = new TreeBuilder({}, { store: made.store })
    for (const entry of [directory('d'), file('f'), directory('d/e'), link('l', 'd')]) builder.add(entry)
    for (let end = 255; end < deepest.length; end += 256) builder.add(directory(deepest.slice(0, end)))
  })

  it.each([
    ['a leading slash', file('/etc'), 'invalid'],
    ['a trailing slash', file('d/'), 'invalid'],
    ['an empty name', file('d//x'), 'invalid'],
    ['".." in it', file('d/../x'), 'invalid'],
    ['".." at its end', file('d/..'), 'invalid'],
    ['"." in it', file('./x'), 'invalid'],
    ['a NUL', file('d/x\0y'), 'invalid'],
    ['a name over 255 bytes', file(`d/${'n'.repeat(MAX_NAME_BYTES + 1)}`), 'limit'],
    ['more than 4096 bytes', file(`${deepest}/${'x'.repeat(MAX_PATH_BYTES - deepest.length)}`), 'limit'],
    ['a character that is no byte', file('d/\u{1F4A3}'), 'invalid'],
    ['a parent that was not given', file('x/y'), 'missing-parent'],
    ['a parent that is a file', file('f/x'), 'not-a-directory'],
    ['a parent that is a link to a directory', file('l/x'), 'not-a-directory'],
    ['what is there already', directory('d'), 'duplicate'],
    ['a file where a directory is', file('d/e'), 'duplicate'],
  ])('is refused where its path has %s', (_, entry, code) => {
    expect(() => builder.add(entry)).toThrow(expect.objectContaining({ code, path: entry.path }))
  })

  it.each([
    ['a target of 4096 bytes', link('x', 't'.repeat(MAX_TARGET_BYTES + 1)), 'limit'],
    ['an empty target', link('x', ''), 'invalid'],
    ['type bits in its mode', { ...file('x'), mode: 0o100644 }, 'invalid'],
    ['a malformed hash', { ...file('x'), hash: 'x' } as NewEntry, 'invalid'],
    ['a negative size', { ...file('x'), size: -1 } as NewEntry, 'invalid'],
    ['a directory with type bits', { ...directory('x'), mode: 0o40755 }, 'invalid'],
    ['a root that is a file', file(''), 'invalid'],
  ])('is refused with %s', (_, entry, code) => {
    expect(() => builder.add(entry)).toThrow(expect.objectContaining({ code, path: entry.path }))
  })

  it('may have a path of 4096 bytes, a name of 255 and a target of 4095', () => {
    const path = `d/${'n'.repeat(MAX_NAME_BYTES)}`
    builder.add(link(path, 't'.repeat(MAX_TARGET_BYTES)))
    builder.add(directory(deepest))
    const longest = `${deepest}/${'x'.repeat(MAX_PATH_BYTES - deepest.length - 1)}`
    expect(longest).toHaveLength(MAX_PATH_BYTES)
    builder.add(file(longest))
    expect(() => builder.add(file(longest))).toThrow(expect.objectContaining({ code: 'duplicate' }))
  })

  it('is refused beyond the number of entries, in all and in one directory', async () => {
    await using made = await temporaryStore()
    const all = new TreeBuilder({ maxEntries: 2 }, { store: made.store })
    all.add(directory('a'))
    all.add(file('a/b'))
    expect(() => all.add(file('c'))).toThrow(expect.objectContaining({ code: 'limit', path: 'c' }))
    const one = new TreeBuilder({ maxTreeEntries: 1 }, { store: made.store })
    one.add(directory('a'))
    one.add(file('a/b'))
    expect(() => one.add(file('a/c'))).toThrow(expect.objectContaining({ code: 'limit', path: 'a/c' }))
  })

  it('is named in the message without what could fool a terminal', () => {
    expect(() => builder.add(file('x/\x1b[2J\n\xc3\xbc'))).toThrow('"x/\\x1b[2J\\x0aü"')
  })
})
