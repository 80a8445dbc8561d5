import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import type { TreeEntry } from '../store/objects.ts'
import type { TrailCounts } from '../view/trail-entry.ts'

/** The type bits of `st_mode` (inode(7)). */
export const S_IFMT = 0o170000
export const S_IFREG = 0o100000
export const S_IFDIR = 0o040000
export const S_IFLNK = 0o120000
export const S_IFIFO = 0o010000
export const S_IFSOCK = 0o140000

/** Stored instead of a uid or gid: whoever the view belongs to. Another start of a sandbox has other host ids. */
export const OWNER_ID = 0xffffffff

/** Where a regular file's bytes are. */
export const IN_BASE = 0
/** In the delta's LevelDB, and in memory while in use. */
export const IN_INDEX = 1
/** In a file of its own under the delta's directory. */
export const IN_FILE = 2
export type Place = typeof IN_BASE | typeof IN_INDEX | typeof IN_FILE

/** A further name of a file with hard links. */
export interface Name {
  parent: NodeId
  name: ByteString
}

/**
 * An inode in memory. One that only the base knows is made when it is looked at and dropped when the kernel
 * forgets it; one in the delta lives as long as the delta is open.
 */
export class Inode {
  readonly node: NodeId
  /** Type and permission bits. */
  mode = 0
  nlink = 1
  /** Host ids or `OWNER_ID`. */
  uid = OWNER_ID
  gid = OWNER_ID
  /** Bytes. Of a symlink the length of its target. */
  size = 0
  atime = 0
  atimeNsec = 0
  mtime = 0
  mtimeNsec = 0
  ctime = 0
  ctimeNsec = 0
  /** When it was made; of the base: when it was last modified before that. */
  btime = 0
  btimeNsec = 0

  /** 0 for the root, and for a node that has no name any more. */
  parent: NodeId = 0
  name: ByteString = ''
  otherNames: Name[] | null = null

  /** What the base has at this number; null for a node that the sandbox made. */
  readonly entry: TreeEntry | null
  /** Of a node of the base: its place there is not one of its names any more. */
  leftBase = false
  /** Its attributes are kept in the delta. */
  inDelta = false
  place: Place = IN_BASE
  /** Of a symlink. */
  target: ByteString = ''
  xattrs: Map<ByteString, Buffer> | null = null

  /** Contents with place IN_INDEX; the first `size` bytes count. Null: read them from the index. */
  inline: Buffer | null = null
  inlineDirty = false
  /** The index on disk has contents of it: what an fsync may have promised. */
  stored = false
  /** Its bytes were durable elsewhere, and are not yet in the file of its own that they have moved to. */
  unsafeUntilSynced = false

  /** Of a file of its own: it may have holes, so what it takes is asked of the disk. */
  sparse = false
  /** Room that it takes of the quota. Bytes. */
  charged = 0

  /** The index on the disk says that its bytes are in a file of its own; nothing more is needed to find them. */
  foundInFile = false

  /** Made without a name, and may get its first one. */
  linkable = false

  /** How often the kernel was given this node and has not forgotten it. */
  refs = 0
  /** The thread before this one has given it to the kernel, nobody knows how often, and it was not forgotten since. */
  heldFromBefore = false

  /** Numbers of the last events that tell of its contents and of its attributes (`view/event-log.ts`). */
  modifiedAt = -1
  attributesAt = -1

  /** Its counts on the access trail, good while `trailMoves` is the overlay's `moves` and its names stay. */
  trail: TrailCounts | null = null
  trailMoves = -1

  /** The kernel has its attributes and will not ask for them again by itself. */
  attributesKept = false
  /** It was open since the kernel knows it: then it may ask for them again after all. */
  wasOpen = false

  /** The policy's state for its path, good while `stateEpoch` is the view's. */
  state: unknown = null
  stateEpoch = -1

  constructor(node: NodeId, entry: TreeEntry | null) {
    this.node = node
    this.entry = entry
  }

  /** One of several. The last takes its place: a file may have tens of thousands, and most lose the youngest first. */
  removeName(parent: NodeId, name: ByteString): void {
    const others = this.otherNames ?? []
    const at = others.findLastIndex((other) => other.parent === parent && other.name === name)
    const last = others.pop()
    if (last === undefined || at === others.length) return
    if (at >= 0) others[at] = last
    else {
      this.parent = last.parent
      this.name = last.name
    }
  }

  /** Somebody may come back with its number. */
  get isHeld(): boolean {
    return this.refs > 0 || this.heldFromBefore
  }

  get isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR
  }

  get isFile(): boolean {
    return (this.mode & S_IFMT) === S_IFREG
  }

  get isSymlink(): boolean {
    return (this.mode & S_IFMT) === S_IFLNK
  }
}
