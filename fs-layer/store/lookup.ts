import { setImmediate } from 'node:timers/promises'
import type { ByteString } from '../protocol/filesystem.ts'
import type { DirectoryEntry, Hash, TreeEntry } from './objects.ts'
import { joinPath, splitPath } from './paths.ts'
import type { StoreReader } from './reader.ts'
import { StoreError } from './store-error.ts'
import { findEntry } from './tree.ts'

/**
 * What stands at a path of a version. The root comes as a directory with an empty name. Links are not followed.
 *
 * @throws {StoreError} `not-found`, `not-a-directory` (a parent is none), `invalid`, `limit`: of the path;
 *   `missing`, `corrupt`, `io`: of the store
 */
export function lookup(store: StoreReader, root: Hash, path: ByteString): TreeEntry {
  let entry: TreeEntry = rootEntry(store, root)
  for (const name of splitPath(path)) {
    if (entry.kind !== 'directory')
      throw new StoreError('not-a-directory', 'A parent of the path is no directory', { path })
    const { entries } = store.treeSync(entry.hash)
    const found = entries[findEntry(entries, name)]
    if (found === undefined) throw new StoreError('not-found', 'No such file or directory', { path })
    entry = found
  }
  return entry
}

/**
 * What is in a directory, by the bytes of the names; with `recursive` each directory is followed by what is
 * in it. Paths are from the root of the version.
 *
 * @throws {StoreError} as `lookup`; `not-a-directory` where the path itself is none
 */
export async function* list(
  store: StoreReader,
  root: Hash,
  path: ByteString,
  recursive: boolean,
): AsyncGenerator<{ path: ByteString; entry: TreeEntry }> {
  const entry = lookup(store, root, path)
  if (entry.kind !== 'directory') throw new StoreError('not-a-directory', 'The path is no directory', { path })
  let listed = 0
  for (const found of walk(store, entry, path, recursive)) {
    // Trees are read at once: others must have their turn in a long listing.
    if (++listed % LISTED_PER_TURN === 0) await setImmediate()
    yield found
  }
}

const LISTED_PER_TURN = 1000

function* walk(
  store: StoreReader,
  directory: DirectoryEntry,
  at: ByteString,
  recursive: boolean,
): Generator<{ path: ByteString; entry: TreeEntry }> {
  // A stack of our own: a generator inside a generator for each level would make deep trees quadratic.
  const levels = [{ path: at, entries: store.treeSync(directory.hash).entries, next: 0 }]
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const entry = level.entries[level.next++]
    if (entry === undefined) {
      levels.pop()
      continue
    }
    const path = joinPath(level.path, entry.name)
    yield { path, entry }
    if (recursive && entry.kind === 'directory')
      levels.push({ path, entries: store.treeSync(entry.hash).entries, next: 0 })
  }
}

function rootEntry(store: StoreReader, hash: Hash): DirectoryEntry {
  const { mode, mtime, mtimeNsec, tree, inodes, bytes } = store.rootSync(hash)
  return { kind: 'directory', name: '', mode, mtime, mtimeNsec, hash: tree, inodes, bytes }
}
