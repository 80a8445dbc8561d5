import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import type { DeltaOptions } from './delta-options.ts'
import { DeltaDirectory } from './directory.ts'
import type { Inode } from './inode.ts'
import type { Index } from './open-index.ts'
import { decodeDentry, decodeInode, parseKey } from './record.ts'

/** What of a delta is in memory while it is open. */
interface Loaded {
  readonly inodes: Map<NodeId, Inode>
  readonly directories: Map<NodeId, DeltaDirectory>
}

/** Reads all inodes and dentries. An inode that no name leads to has no link and no parent then. */
export async function loadRecords(index: Index, into: Loaded, options: DeltaOptions): Promise<void> {
  for await (const [key, value] of index.iterator()) {
    const parsed = parseKey(key)
    if (parsed.kind === 'inode') into.inodes.set(parsed.node, loadInode(parsed.node, value, options))
    else if (parsed.kind === 'dentry') {
      directoryOf(into, parsed.parent).load(decodeDentry(parsed.name, value))
    }
  }
  for (const directory of into.directories.values()) directory.sort()
  nameInodes(into, options)
}

function loadInode(node: NodeId, value: Buffer, { baseInodes, baseEntry }: DeltaOptions): Inode {
  if (node > baseInodes) {
    const own = decodeInode(node, null, value)
    own.nlink = 0
    return own
  }
  // One of the base stands where it was, unless a dentry says otherwise.
  const { entry, parent } = baseEntry(node)
  const inode = decodeInode(node, entry, value)
  inode.parent = parent
  inode.name = entry.name
  return inode
}

function directoryOf({ directories }: Loaded, node: NodeId): DeltaDirectory {
  let directory = directories.get(node)
  if (directory === undefined) {
    directory = new DeltaDirectory()
    directories.set(node, directory)
  }
  return directory
}

/** Gives each node its names and link count, which only the dentries hold. */
function nameInodes({ inodes, directories }: Loaded, { dir }: DeltaOptions): void {
  const named = new Set<NodeId>()
  for (const [parent, directory] of directories) {
    for (const { node, name, shadows } of directory.all()) {
      for (const shadow of shadows) placeShadow(inodes.get(shadow), parent, name, named)
      if (node === 0) continue
      const inode = inodes.get(node)
      if (inode === undefined) throw new Error(`delta ${dir}: dentry of a missing inode ${node}`)
      if (named.has(node) || (inode.entry !== null && !inode.leftBase)) {
        inode.otherNames ??= []
        inode.otherNames.push({ parent, name })
        inode.nlink++
      } else {
        inode.parent = parent
        inode.name = name
        inode.nlink = 1
      }
      named.add(node)
    }
  }
}

function placeShadow(inode: Inode | undefined, parent: NodeId, name: ByteString, named: Set<NodeId>): void {
  if (inode === undefined) return
  named.add(inode.node)
  inode.parent = parent
  inode.name = name
  inode.nlink = 0
}
