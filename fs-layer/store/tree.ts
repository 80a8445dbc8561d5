import { entryEnd, entryFault, entryLength, readEntry, writeEntry } from './entry.ts'
import { MAX_TREE_ENTRIES } from './limits.ts'
import type { Tree, TreeEntry } from './objects.ts'
import { StoreError } from './store-error.ts'

/**
 * A tree's canonical bytes: `T`, version 1, u32 number of entries, the entries sorted by the bytes of their
 * names. There is one form for each tree, so equal directories have equal hashes; the first byte keeps trees,
 * roots and their hashes apart.
 */
export const TREE_HEADER_BYTES = 6

/** @throws {StoreError} `invalid` with the entry's name: a field out of range, names out of order or twice */
export function encodeTree(tree: Tree): Buffer {
  if (tree.entries.length > MAX_TREE_ENTRIES) {
    throw new StoreError('limit', `A directory of more than ${MAX_TREE_ENTRIES} entries`)
  }
  let length = TREE_HEADER_BYTES
  let last: TreeEntry | undefined
  for (const entry of tree.entries) {
    const fault = entryFault(entry) ?? orderFault(last, entry)
    if (fault !== null) throw new StoreError('invalid', fault, { path: entry.name })
    length += entryLength(entry)
    last = entry
  }
  const bytes = Buffer.allocUnsafe(length)
  let at = writeTreeHeader(bytes, tree.entries.length)
  for (const entry of tree.entries) at = writeEntry(bytes, at, entry)
  return bytes
}

/** @throws {StoreError} `corrupt`: bytes that `encodeTree` would not have made */
export function decodeTree(bytes: Buffer): Tree {
  if (bytes.length < TREE_HEADER_BYTES || bytes[0] !== TREE_TYPE) throw corrupt('no tree')
  if (bytes[1] !== TREE_VERSION) throw corrupt(`a tree of version ${bytes[1]}`)
  const count = bytes.readUInt32LE(2)
  if (count > MAX_TREE_ENTRIES) throw corrupt('too many entries')
  const entries: TreeEntry[] = []
  let at = TREE_HEADER_BYTES
  let last: TreeEntry | undefined
  for (let read = 0; read < count; read++) {
    const end = entryEnd(bytes, at)
    if (end === -1) throw corrupt('an entry that is cut off or of no known kind')
    const entry = readEntry(bytes, at)
    const fault = entryFault(entry) ?? orderFault(last, entry)
    if (fault !== null) throw corrupt(fault)
    entries.push(entry)
    last = entry
    at = end
  }
  if (at !== bytes.length) throw corrupt('bytes after the last entry')
  return { entries }
}

export function writeTreeHeader(into: Buffer, count: number): number {
  into[0] = TREE_TYPE
  into[1] = TREE_VERSION
  into.writeUInt32LE(count, 2)
  return TREE_HEADER_BYTES
}

/** Where `name` is among sorted entries, or, as `-1 - index`, where it would be. */
export function findEntry(entries: readonly TreeEntry[], name: string): number {
  let low = 0
  let high = entries.length - 1
  while (low <= high) {
    const middle = (low + high) >>> 1
    const found = (entries[middle] as TreeEntry).name
    if (found === name) return middle
    if (found < name) low = middle + 1
    else high = middle - 1
  }
  return -1 - low
}

/**
 * What a directory adds up to: its own inode and all below.
 *
 * @throws {StoreError} `limit`: sums that are no exact number any more
 */
export function sumTree(entries: readonly TreeEntry[]): { inodes: number; bytes: number } {
  let inodes = 1
  let bytes = 0
  for (const entry of entries) {
    inodes += entry.kind === 'directory' ? entry.inodes : 1
    if (entry.kind === 'file') bytes += entry.size
    else if (entry.kind === 'directory') bytes += entry.bytes
  }
  if (!Number.isSafeInteger(bytes)) throw new StoreError('limit', 'A directory of more than 2^53 bytes')
  return { inodes, bytes }
}

const TREE_TYPE = 0x54
const TREE_VERSION = 1

function orderFault(before: TreeEntry | undefined, entry: TreeEntry): string | null {
  if (before === undefined || before.name < entry.name) return null
  return before.name === entry.name ? 'A name that is there twice' : 'Names that are not sorted'
}

function corrupt(what: string): StoreError {
  return new StoreError('corrupt', `Not the bytes of a tree: ${what}`)
}
