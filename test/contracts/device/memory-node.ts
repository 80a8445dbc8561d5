import { type Attr, type ByteString, type NodeId, ROOT_NODE, type Time } from '../../../fs-layer/protocol/filesystem.ts'

const S_IFMT = 0o170000
const S_IFDIR = 0o040000

/** One inode of the memory filesystem. */
export interface Node {
  readonly attr: { -readonly [K in keyof Attr]: Attr[K] }
  contents: Buffer
  /** Of a directory, in the order of making; the cookie of an entry is its serial number. */
  readonly entries: Map<ByteString, { node: NodeId; cookie: number }>
  parent: NodeId
  target: ByteString
  readonly xattrs: Map<ByteString, Buffer>
  references: number
  opens: number
}

export function newNode(id: NodeId, mode: number, uid: number, gid: number): Node {
  const { sec, nsec } = clock()
  const times = {
    btime: sec,
    btimeNsec: nsec,
    atime: sec,
    atimeNsec: nsec,
    mtime: sec,
    mtimeNsec: nsec,
    ctime: sec,
    ctimeNsec: nsec,
  }
  const nlink = (mode & S_IFMT) === S_IFDIR ? 2 : 1
  return {
    attr: { node: id, mode, nlink, uid, gid, rdev: 0, size: 0, blocks: 0, ...times, volatile: false },
    contents: Buffer.alloc(0),
    entries: new Map(),
    parent: ROOT_NODE,
    target: '',
    xattrs: new Map(),
    references: 0,
    opens: 0,
  }
}

export function isDirectory(node: Node): boolean {
  return (node.attr.mode & S_IFMT) === S_IFDIR
}

export function setTime(attr: Node['attr'], which: 'atime' | 'mtime' | 'ctime', time: Time): void {
  attr[which] = time.sec
  attr[`${which}Nsec`] = time.nsec
}

export function clock(): Time {
  return { sec: Math.floor(Date.now() / 1000), nsec: (Date.now() % 1000) * 1_000_000 }
}
