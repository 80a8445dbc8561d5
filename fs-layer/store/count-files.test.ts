import { expect, it } from 'vitest'
import { countFiles } from './count-files.ts'
import type { DirectoryEntry, Hash, Root, Tree, TreeEntry } from './objects.ts'

const trees = new Map<Hash, Tree>()
const at = { mode: 0o755, mtime: 0, mtimeNsec: 0 }

/** A tree that is named by its shape. */
function tree(name: string, files: number, ...below: DirectoryEntry[]): DirectoryEntry {
  const entries: TreeEntry[] = Array.from({ length: files }, (_, n) => ({
    ...at,
    kind: 'file',
    name: `f${n}`,
    size: 0,
    hash: '',
  }))
  const hash = `${files}(${below.map((each) => each.hash).join()})`
  trees.set(hash, { entries: [...entries, ...below] })
  const inodes = 1 + files + below.reduce((sum, each) => sum + each.inodes, 0)
  return { ...at, kind: 'directory', name, hash, inodes, bytes: 0 }
}

function counted(now: DirectoryEntry, before: DirectoryEntry, files: number) {
  const opened: Hash[] = []
  const known: Root = { ...at, tree: before.hash, inodes: before.inodes, bytes: 0, files }
  const count = countFiles(now, known, (hash) => {
    opened.push(hash)
    return trees.get(hash) as Tree
  })
  return { count, opened: opened.length }
}

const large = tree('large', 5, tree('x', 100, tree('y', 100)))

it('files are counted without a look at what both trees have', () => {
  const before = tree('', 1, large, tree('small', 2))
  expect(counted(tree('', 1, large, tree('small', 4)), before, 208)).toEqual({ count: 210, opened: 4 })
  expect(counted(before, before, 208)).toEqual({ count: 208, opened: 0 })
})

it('a tree that moved up out of others, and one that is there twice, are not opened', () => {
  const before = tree('', 1, tree('a', 1, tree('b', 1, large)))
  expect(counted(tree('', 0, tree('a', 1, tree('b', 1)), large), before, 208)).toEqual({ count: 207, opened: 6 })
  expect(counted(tree('', 1, large, tree('a', 1, tree('b', 1, large))), before, 208).count).toBe(413)
})

it('all of a tree that has gone is counted out', () => {
  expect(counted(tree('', 3), tree('', 1, large), 206)).toEqual({ count: 3, opened: 5 })
})
