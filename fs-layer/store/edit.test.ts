import { describe, expect, it } from 'vitest'
import { collect } from '../../test/fixtures/collect.ts'
import { temporaryStore } from '../../test/fixtures/temporary-store.ts'
import { replaceFile } from './edit.ts'
import { hashBytes } from './hash.ts'
import { list, lookup } from './lookup.ts'
import type { Store } from './store.ts'
import { TreeBuilder } from './tree-builder.ts'

const one = Buffer.from('one')
const seven = Buffer.from('seven77')
const common = { mode: 0o640, mtime: 7, mtimeNsec: 8 }
const old = { ...common, size: one.length, hash: hashBytes(one) }
const fresh = { mode: 0o755, mtime: 100, mtimeNsec: 200, size: seven.length, hash: hashBytes(seven) }

async function version(store: Store): Promise<string> {
  await store.putSmallBlobs([{ data: one }, { data: seven }])
  const builder = new TreeBuilder({}, { store })
  builder.add({ ...common, kind: 'directory', path: 'd' })
  builder.add({ ...old, kind: 'file', path: 'd/file' })
  builder.add({ ...old, kind: 'file', path: 'other' })
  builder.add({ ...common, kind: 'symlink', path: 'link', target: 'd' })
  return (await builder.finish()).hash
}

describe('replacing a file', () => {
  it('makes a new version, with exact sums, and leaves the old one as it was', async () => {
    await using made = await temporaryStore()
    const before = await version(made.store)
    const after = await replaceFile(made.store, before, 'd/file', fresh)
    expect(lookup(made.store, after, 'd/file')).toEqual({ ...fresh, kind: 'file', name: 'file' })
    expect(lookup(made.store, before, 'd/file')).toEqual({ ...old, kind: 'file', name: 'file' })
    expect(made.store.rootSync(after)).toMatchObject({ inodes: 5, bytes: 10, files: 3, mtime: 0 })
    expect(lookup(made.store, after, 'd')).toMatchObject({ inodes: 2, bytes: 7, mtime: 7 })
  })

  it('with itself is the same version', async () => {
    await using made = await temporaryStore()
    const before = await version(made.store)
    expect(await replaceFile(made.store, before, 'other', old)).toBe(before)
  })

  it('that is not there makes it and its parents', async () => {
    await using made = await temporaryStore()
    const after = await replaceFile(made.store, await version(made.store), 'd/a/b/new', fresh)
    expect(lookup(made.store, after, 'd/a/b/new')).toMatchObject({ kind: 'file', size: 7 })
    expect(lookup(made.store, after, 'd/a')).toMatchObject({ mode: 0o755, mtime: 100, mtimeNsec: 200, inodes: 3 })
    expect(lookup(made.store, after, 'd')).toMatchObject({ mode: 0o640, mtime: 100, mtimeNsec: 200, bytes: 10 })
    expect(made.store.rootSync(after)).toMatchObject({ inodes: 8, bytes: 13, files: 4, mtime: 0 })
  })

  it('gives the version that the builder would', async () => {
    await using made = await temporaryStore()
    const before = await version(made.store)
    const builder = new TreeBuilder({}, { store: made.store })
    builder.add({ ...common, kind: 'directory', path: 'd' })
    builder.add({ ...fresh, kind: 'file', path: 'd/file' })
    builder.add({ ...old, kind: 'file', path: 'other' })
    builder.add({ ...common, kind: 'symlink', path: 'link', target: 'd' })
    expect(await replaceFile(made.store, before, 'd/file', fresh)).toBe((await builder.finish()).hash)
  })

  it('puts the file in the place of a link, not where the link leads', async () => {
    await using made = await temporaryStore()
    const after = await replaceFile(made.store, await version(made.store), 'link', fresh)
    expect(lookup(made.store, after, 'link')).toMatchObject({ kind: 'file' })
    expect(made.store.rootSync(after)).toMatchObject({ inodes: 5, files: 3 })
  })

  it.each([
    ['', 'is-a-directory'],
    ['d', 'is-a-directory'],
    ['other/x', 'not-a-directory'],
    ['link/file', 'not-a-directory'],
    ['../x', 'invalid'],
    ['/x', 'invalid'],
    ['d/', 'invalid'],
  ])('at "%s" is refused: %s', async (path, code) => {
    await using made = await temporaryStore()
    const before = await version(made.store)
    await expect(replaceFile(made.store, before, path, fresh)).rejects.toMatchObject({ code, path })
  })

  it('by a blob that is not there, or has another size, is refused', async () => {
    await using made = await temporaryStore()
    const before = await version(made.store)
    const absent = { ...fresh, hash: '00'.repeat(32) }
    await expect(replaceFile(made.store, before, 'x', absent)).rejects.toMatchObject({ code: 'missing', path: 'x' })
    const lie = { ...fresh, size: 1 }
    await expect(replaceFile(made.store, before, 'x', lie)).rejects.toMatchObject({ code: 'mismatch', path: 'x' })
  })
})

describe('looking at a version', () => {
  it('lists a directory alone or with all below, with paths from the root', async () => {
    await using made = await temporaryStore()
    const root = await replaceFile(made.store, await version(made.store), 'd/e/f', fresh)
    const paths = async (path: string, recursive: boolean) =>
      (await collect(list(made.store, root, path, recursive))).map((found) => found.path)
    expect(await paths('', false)).toEqual(['d', 'link', 'other'])
    expect(await paths('', true)).toEqual(['d', 'd/e', 'd/e/f', 'd/file', 'link', 'other'])
    expect(await paths('d/e', true)).toEqual(['d/e/f'])
  })

  it('finds the root at the empty path', async () => {
    await using made = await temporaryStore()
    const root = await version(made.store)
    expect(lookup(made.store, root, '')).toMatchObject({ kind: 'directory', name: '', inodes: 5, bytes: 6 })
  })

  it('says what is wrong with a path', async () => {
    await using made = await temporaryStore()
    const root = await version(made.store)
    const code = (path: string) => {
      try {
        return lookup(made.store, root, path).kind
      } catch (error) {
        return (error as { code: string }).code
      }
    }
    expect(code('nothing')).toBe('not-found')
    expect(code('d/nothing/more')).toBe('not-found')
    expect(code('other/x')).toBe('not-a-directory')
    expect(code('link/file')).toBe('not-a-directory')
    expect(code('d/../other')).toBe('invalid')
    await expect(collect(list(made.store, root, 'other', true))).rejects.toMatchObject({ code: 'not-a-directory' })
    await expect(collect(list(made.store, '00'.repeat(32), '', true))).rejects.toMatchObject({ code: 'missing' })
  })
})
