import type { ByteString } from '../protocol/filesystem.ts'
import { entryFault } from './entry.ts'
import { hashBytes } from './hash.ts'
import type { FileEntry, Hash, Root, Tree, TreeEntry } from './objects.ts'
import { splitPath } from './paths.ts'
import type { Store } from './store.ts'
import { StoreError } from './store-error.ts'
import { encodeTree, findEntry, sumTree } from './tree.ts'

/**
 * A version like `root` but for one file, which takes the place of the file or link at its path. Missing
 * parents are made, with mode 0755 and the file's time. Its blob must be in the store.
 *
 * @returns the new root's hash; `root` stays as it is
 * @throws {StoreError} of the path: `is-a-directory`, `not-a-directory` (a parent is none), `invalid`, `limit`;
 *   `missing` or `mismatch` of the blob; and what reading and writing throw
 */
export async function replaceFile(
  store: Store,
  root: Hash,
  path: ByteString,
  file: Omit<FileEntry, 'kind' | 'name'>,
): Promise<Hash> {
  const names = splitPath(path)
  const name = names.pop()
  if (name === undefined) throw new StoreError('is-a-directory', 'The root is a directory', { path })
  const entry: FileEntry = { kind: 'file', name, ...file }
  const fault = entryFault(entry)
  if (fault !== null) throw new StoreError('invalid', fault, { path })
  await checkBlob(store, entry, path)

  const before = store.rootSync(root)
  const trees = new Map<Hash, Buffer>()
  const edit: Edit = { store, path, trees, added: 0 }
  const top = withEntry(edit, store.treeSync(before.tree), names, entry)
  const after: Root = {
    ...before,
    ...(top.grown ? { mtime: file.mtime, mtimeNsec: file.mtimeNsec } : {}),
    tree: top.hash,
    inodes: top.inodes,
    bytes: top.bytes,
    files: before.files + edit.added,
  }
  return (await store.putTrees(trees, after)) as Hash
}

interface Edit {
  readonly store: Store
  readonly path: ByteString
  /** The new trees, children first. */
  readonly trees: Map<Hash, Buffer>
  added: number
}

interface Edited {
  readonly hash: Hash
  readonly inodes: number
  readonly bytes: number
  /** A name was added to the directory itself, which so has a new modification time. */
  readonly grown: boolean
}

function withEntry(edit: Edit, tree: Tree, parents: readonly ByteString[], file: FileEntry): Edited {
  const [next, ...rest] = parents
  const index = findEntry(tree.entries, next ?? file.name)
  const before = tree.entries[index]
  const now = next === undefined ? replacing(edit, before, file) : descended(edit, before, next, rest, file)
  const entries = before === undefined ? tree.entries.toSpliced(-1 - index, 0, now) : tree.entries.with(index, now)
  const encoded = encodeTree({ entries })
  const hash = hashBytes(encoded)
  edit.trees.set(hash, encoded)
  return { hash, ...sumTree(entries), grown: before === undefined }
}

function replacing(edit: Edit, before: TreeEntry | undefined, file: FileEntry): FileEntry {
  if (before?.kind === 'directory')
    throw new StoreError('is-a-directory', 'A directory is at the path', { path: edit.path })
  if (before === undefined) edit.added++
  return file
}

function descended(
  edit: Edit,
  before: TreeEntry | undefined,
  name: ByteString,
  rest: readonly ByteString[],
  file: FileEntry,
): TreeEntry {
  if (before !== undefined && before.kind !== 'directory') {
    throw new StoreError('not-a-directory', 'A parent of the path is no directory', { path: edit.path })
  }
  const tree = before === undefined ? EMPTY : edit.store.treeSync(before.hash)
  const { grown, ...below } = withEntry(edit, tree, rest, file)
  const time = grown ? { mtime: file.mtime, mtimeNsec: file.mtimeNsec } : {}
  return { ...(before ?? { kind: 'directory', name, mode: 0o755, mtime: 0, mtimeNsec: 0 }), ...below, ...time }
}

const EMPTY: Tree = { entries: [] }

async function checkBlob(store: Store, { hash, size }: FileEntry, path: ByteString): Promise<void> {
  const [stored] = await store.blobSizes([hash])
  if (stored === undefined) throw new StoreError('missing', `The store lacks blob ${hash}`, { hash, path })
  if (stored !== size) throw new StoreError('mismatch', `Blob ${hash} has ${stored} bytes, not ${size}`, { hash, path })
}
