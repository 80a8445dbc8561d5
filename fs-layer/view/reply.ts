import { IN_BASE, type Inode, OWNER_ID } from '../delta/inode.ts'
import type { PathState } from '../policy/path-state.ts'
import { NONE, READ, WRITE } from '../policy/rule.ts'
import type { Attr, NodeId, Opened } from '../protocol/filesystem.ts'

export const KEEP: Opened = { cache: 'keep' }

/** One object for every answer of a view: the device encodes it before it calls again. */
export class Reply implements Attr {
  node: NodeId = 0
  mode = 0
  nlink = 0
  uid = 0
  gid = 0
  readonly rdev = 0
  size = 0
  blocks = 0
  atime = 0
  atimeNsec = 0
  mtime = 0
  mtimeNsec = 0
  ctime = 0
  ctimeNsec = 0
  btime = 0
  btimeNsec = 0
  volatile = false
  readonly opened = KEEP

  of(inode: Inode, state: PathState, nlink: number, owner: { readonly uid: number; readonly gid: number }): Reply {
    this.node = inode.node
    this.mode = shownMode(inode, state)
    this.nlink = nlink
    this.uid = inode.uid === OWNER_ID ? owner.uid : inode.uid
    this.gid = inode.gid === OWNER_ID ? owner.gid : inode.gid
    this.size = inode.size
    this.blocks = blocksOf(inode)
    this.atime = inode.atime
    this.atimeNsec = inode.atimeNsec
    this.mtime = inode.mtime
    this.mtimeNsec = inode.mtimeNsec
    this.ctime = inode.ctime
    this.ctimeNsec = inode.ctimeNsec
    this.btime = inode.btime
    this.btimeNsec = inode.btimeNsec
    // It is there only as long as something visible is below it.
    this.volatile = state.level === NONE
    return this
  }
}

/** As ext4 counts: whole blocks of 4 KiB. */
function blocksOf(inode: Inode): number {
  if (inode.isDirectory) return 8
  const ofBase = inode.isFile && inode.place === IN_BASE ? Math.ceil(inode.size / 4096) * 8 : 0
  return ofBase + inode.charged / 512
}

/**
 * The mode as far as the level lets it be used, so that the kernel refuses an open without asking us. The
 * checks of each call remain: a caller with CAP_DAC_OVERRIDE is not held by modes.
 *
 * That of a directory is as it is: what is made, removed or renamed there comes to us in any case, costs no more to be
 * refused here, and so is on the trail with its name.
 */
function shownMode(inode: Inode, state: PathState): number {
  if (state.level === WRITE || inode.isSymlink || inode.isDirectory) return inode.mode
  return state.level === READ ? inode.mode & ~0o222 : inode.mode & ~0o777
}
