import type { Contents } from '../delta/contents.ts'
import type { Delta } from '../delta/delta.ts'
import { Inode } from '../delta/inode.ts'
import { LINKS_MAX } from '../delta/limits.ts'
import { EMLINK, ESTALE } from '../protocol/errno.ts'
import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import { ROOT_NODE } from '../protocol/filesystem.ts'
import type { TreeEntry } from '../store/objects.ts'
import type { Base } from './base.ts'
import type { HeldNodes } from './held-nodes.ts'
import { inodeOfBase, typeOfEntry } from './inode-of-base.ts'
import { KnownNodes } from './known-nodes.ts'
import { KNOWN_NODES_MAX } from './limits.ts'
import { stampAll, stampChange, stampModified } from './stamp.ts'

/**
 * Cookies of a listing: 1 and 2 are `.` and `..`, the base's i-th entry is i + 3, the delta's come after, the youngest
 * first: what is made while somebody lists is behind them, so that a program which makes a name for each that it reads
 * comes to an end.
 */
const FIRST_BASE_COOKIE = 3
const DELTA_COOKIE = 2 ** 32
const SEQ_END = 2 ** 48

/** One name of a directory. The base's are told without making an inode of each. */
export interface Listed {
  readonly name: ByteString
  readonly node: NodeId
  readonly cookie: number
  /** Of the base, when the node is not in the delta. */
  readonly entry: TreeEntry | null
}

/**
 * Delta over base, without any rules: which inode a name leads to, and every change of names and attributes.
 * Callers have decided that a change is allowed and that it fits (no name taken, a directory empty).
 *
 * Who holds an inode: the delta for what it has changed, `nodes` for what the kernel or a caller looked at.
 * A node of the base can be made again from its number at any time, so forgetting one loses nothing.
 */
export class Overlay {
  readonly base: Base
  readonly delta: Delta
  readonly contents: Contents
  readonly nodes = new KnownNodes({ maxNodes: KNOWN_NODES_MAX })
  readonly #held: HeldNodes | null
  /** Goes up at each change of names: what was worked out over a subtree is stale then. */
  structure = 0
  /** Hears of each directory that gets a name in another one, or loses it. */
  onSubdirectory: ((directory: Inode, name: ByteString, change: 1 | -1) => void) | null = null
  /** Goes up when a directory moves: every path below it is another one. */
  moves = 0

  constructor(base: Base, delta: Delta, contents: Contents, held: HeldNodes | null) {
    this.#held = held
    this.base = base
    this.delta = delta
    this.contents = contents
  }

  get root(): Inode {
    return this.inode(ROOT_NODE)
  }

  /** Throws ESTALE for a number that leads nowhere any more. */
  inode(node: NodeId): Inode {
    return this.known(node) ?? this.#rebuild(node)
  }

  /** The inode if it is in memory. */
  known(node: NodeId): Inode | undefined {
    return this.delta.inodes.get(node) ?? this.nodes.get(node)
  }

  *inMemory(): Generator<Inode> {
    yield* this.delta.inodes.values()
    for (const inode of this.nodes.values()) if (!inode.inDelta) yield inode
  }

  /** All that the kernel may hold something of. It has the root from the start, and never looks it up or forgets it. */
  *heldByKernel(): Generator<Inode> {
    const { root } = this
    yield root
    for (const inode of this.inMemory()) if (inode.isHeld && inode !== root) yield inode
  }

  lookup(directory: Inode, name: ByteString): Inode | null {
    const dentry = this.delta.dentry(directory.node, name)
    if (dentry !== undefined) return dentry.node === 0 ? null : this.inode(dentry.node)
    if (directory.entry?.kind !== 'directory') return null
    const tree = this.base.tree(directory.entry)
    const index = this.base.indexOf(tree, name)
    if (index < 0) return null
    const node = this.base.nodeAt(directory.node, tree, index)
    return this.known(node) ?? this.#fromBase(node, tree.entries[index]!, directory.node)
  }

  /** Directories that were removed at this name and still hold what the sandbox could not see. */
  shadows(directory: Inode, name: ByteString): Inode[] {
    return this.delta.dentry(directory.node, name)?.shadows.map((node) => this.inode(node)) ?? []
  }

  /** Names after a cookie, in an order that does not change as others come and go. */
  *list(directory: Inode, after = 0): Generator<Listed> {
    const changed = this.delta.directories.get(directory.node)
    if (after < DELTA_COOKIE && directory.entry?.kind === 'directory') {
      const tree = this.base.tree(directory.entry)
      for (let index = Math.max(0, after - FIRST_BASE_COOKIE + 1); index < tree.entries.length; index++) {
        const entry = tree.entries[index]!
        if (changed?.get(entry.name) !== undefined) continue
        const node = this.base.nodeAt(directory.node, tree, index)
        const inDelta = this.delta.inodes.has(node)
        yield { name: entry.name, node, cookie: index + FIRST_BASE_COOKIE, entry: inDelta ? null : entry }
      }
    }
    if (changed === undefined) return
    for (const { name, node, seq } of changed.below(SEQ_END - Math.max(0, after - DELTA_COOKIE))) {
      if (node !== 0) yield { name, node, cookie: DELTA_COOKIE + SEQ_END - seq, entry: null }
    }
  }

  /** The mode's type bits, without making an inode. */
  typeOf(listed: Listed): number {
    if (listed.entry !== null) return typeOfEntry(listed.entry)
    return this.inode(listed.node).mode & 0o170000
  }

  /** Names from the root. Of a node without a name: the last one it had. */
  pathOf(inode: Inode): ByteString {
    const names: ByteString[] = []
    for (let at = inode; at.node !== ROOT_NODE && at.parent !== 0; at = this.inode(at.parent)) names.push(at.name)
    return names.reverse().join('/')
  }

  isWithin(inode: Inode, ancestor: Inode): boolean {
    for (let at = inode; ; at = this.inode(at.parent)) {
      if (at === ancestor) return true
      if (at.node === ROOT_NODE || at.parent === 0) return false
    }
  }

  reference(inode: Inode): void {
    inode.refs++
    if (inode.refs === 1) this.#held?.add(inode.node)
    if (!inode.inDelta) this.nodes.set(inode)
  }

  /** Takes on what the kernel was given by a thread that has died. */
  adopt(): void {
    for (const node of this.#held?.values() ?? []) {
      const inode = this.#ifThere(node)
      // It had lost its name and was open: it has gone with the thread.
      if (inode === null) this.#held?.delete(node)
      else inode.heldFromBefore = true
    }
  }

  /** The kernel gives references back: all that it has of an inode at once, those of the thread before with them. */
  forget(node: NodeId, count: number): void {
    const inode = this.known(node)
    if (inode === undefined) return
    inode.refs = Math.max(0, inode.refs - count)
    if (inode.refs === 0) inode.heldFromBefore = inode.wasOpen = false
    this.#releaseIfFree(inode)
  }

  /** Of one that was looked at without a reference: it is made again when it is wanted. */
  unlook(inode: Inode): void {
    if (!inode.isHeld && !inode.inDelta) this.nodes.delete(inode.node)
  }

  /** Gives back one reference that was taken for a call from outside. */
  letGo(node: NodeId): void {
    const inode = this.known(node)
    if (inode === undefined) return
    inode.refs = Math.max(0, inode.refs - 1)
    this.#releaseIfFree(inode)
  }

  /** The kernel has gone: it holds nothing any more. */
  forgetAll(): void {
    for (const inode of [...this.inMemory()]) this.forget(inode.node, inode.refs)
  }

  /** A node without a name yet. `mode` has its type bits. */
  make(mode: number, uid: number, gid: number): Inode {
    this.delta.usage.takeInode()
    const inode = new Inode(this.delta.allocate(), null)
    inode.mode = mode
    inode.uid = uid
    inode.gid = gid
    inode.nlink = 0
    stampAll(inode)
    if (inode.isFile) this.contents.create(inode)
    return inode
  }

  /** Gives a node its first name, or a further one. */
  link(directory: Inode, name: ByteString, inode: Inode): void {
    if (inode.nlink >= LINKS_MAX) throw EMLINK
    if (inode.nlink === 0) {
      inode.parent = directory.node
      inode.name = name
      inode.linkable = false
      inode.stateEpoch = -1
    } else {
      this.delta.usage.takeInode()
      inode.otherNames ??= []
      inode.otherNames.push({ parent: directory.node, name })
    }
    inode.nlink++
    this.nodes.delete(inode.node)
    this.delta.add(inode)
    if (inode.inlineDirty) this.delta.contentChanged(inode)
    stampChange(inode)
    this.#putName(directory, name, inode)
    this.#directoryChanged(directory)
  }

  unlink(directory: Inode, name: ByteString, inode: Inode): void {
    this.#takeName(directory, name, [])
    this.#dropName(inode, directory, name)
    this.#directoryChanged(directory)
  }

  /** `keepsHidden`: it has entries that the sandbox cannot see; they stay, for the owner. */
  rmdir(directory: Inode, name: ByteString, inode: Inode, keepsHidden: boolean): void {
    this.#takeName(directory, name, keepsHidden ? [inode.node] : [])
    this.onSubdirectory?.(directory, name, -1)
    this.#dropDirectory(inode, keepsHidden)
    this.#directoryChanged(directory)
  }

  /** `replaced` stands at the new name now; as for `rmdir` if it is a directory. */
  rename(
    from: Inode,
    name: ByteString,
    to: Inode,
    newName: ByteString,
    inode: Inode,
    replaced: Inode | null,
    keepsHidden: boolean,
  ): void {
    this.#takeName(from, name, [])
    if (inode.isDirectory) this.onSubdirectory?.(from, name, -1)
    if (replaced?.isDirectory) {
      this.onSubdirectory?.(to, newName, -1)
      this.#takeName(to, newName, keepsHidden ? [replaced.node] : [])
      this.#dropDirectory(replaced, keepsHidden)
    } else if (replaced !== null) {
      this.#dropName(replaced, to, newName)
    }
    this.#moved(inode, from, name, to, newName)
    this.#putName(to, newName, inode)
    this.#directoryChanged(from)
    if (to !== from) this.#directoryChanged(to)
  }

  exchange(from: Inode, name: ByteString, inode: Inode, to: Inode, newName: ByteString, other: Inode): void {
    if (inode.isDirectory) this.onSubdirectory?.(from, name, -1)
    if (other.isDirectory) this.onSubdirectory?.(to, newName, -1)
    this.#moved(inode, from, name, to, newName)
    this.#moved(other, to, newName, from, name)
    this.#putName(to, newName, inode)
    this.#putName(from, name, other)
    this.#directoryChanged(from)
    if (to !== from) this.#directoryChanged(to)
  }

  /** After any change of attributes or contents. */
  changed(inode: Inode): void {
    if (inode.nlink === 0 && inode.node !== ROOT_NODE) return
    if (inode.inDelta) {
      this.delta.inodeChanged(inode)
    } else {
      this.nodes.delete(inode.node)
      this.delta.add(inode)
    }
  }

  #releaseIfFree(inode: Inode): void {
    if (inode.isHeld) return
    this.#held?.delete(inode.node)
    this.nodes.delete(inode.node)
    if (inode.nlink === 0) this.#release(inode)
  }

  #ifThere(node: NodeId): Inode | null {
    try {
      return this.inode(node)
    } catch (error) {
      if (error === ESTALE) return null
      throw error
    }
  }

  #rebuild(node: NodeId): Inode {
    if (node < ROOT_NODE || node > this.base.inodes) throw ESTALE
    const { entry, parent } = this.base.find(node)
    if (node === ROOT_NODE) return this.#fromBase(node, entry, 0)
    // It stands where the base has it only if nothing in the delta says otherwise.
    const directory = this.inode(parent)
    const inode = this.lookup(directory, entry.name)
    if (inode?.node !== node && !this.#isShadow(directory, entry.name, node)) throw ESTALE
    return inode?.node === node ? inode : this.#fromBase(node, entry, parent)
  }

  #isShadow(directory: Inode, name: ByteString, node: NodeId): boolean {
    return this.delta.dentry(directory.node, name)?.shadows.includes(node) ?? false
  }

  #fromBase(node: NodeId, entry: TreeEntry, parent: NodeId): Inode {
    const inode = inodeOfBase(node, entry, parent)
    this.nodes.set(inode)
    return inode
  }

  #putName(directory: Inode, name: ByteString, inode: Inode): void {
    const shadows = this.delta.dentry(directory.node, name)?.shadows ?? []
    this.structure++
    if (inode.isDirectory) this.onSubdirectory?.(directory, name, 1)
    this.delta.setDentry(directory.node, name, inode.node, shadows)
  }

  #takeName(directory: Inode, name: ByteString, moreShadows: readonly NodeId[]): void {
    const shadows = [...(this.delta.dentry(directory.node, name)?.shadows ?? []), ...moreShadows]
    this.structure++
    if (shadows.length > 0 || this.base.childOf(directory, name) !== null)
      this.delta.setDentry(directory.node, name, 0, shadows)
    else this.delta.deleteDentry(directory.node, name)
  }

  #dropName(inode: Inode, directory: Inode, name: ByteString): void {
    inode.nlink--
    stampChange(inode)
    if (inode.nlink === 0) {
      this.#gone(inode)
      return
    }
    this.delta.usage.giveInodes(1)
    this.#noteLeaving(inode, directory, name)
    inode.removeName(directory.node, name)
    inode.stateEpoch = -1
    this.changed(inode)
  }

  #dropDirectory(inode: Inode, keepsHidden: boolean): void {
    inode.nlink = 0
    if (keepsHidden) return
    this.delta.deleteDirectory(inode.node)
    this.#gone(inode)
  }

  /** Open files keep it until the kernel forgets it. */
  #gone(inode: Inode): void {
    if (inode.inDelta) {
      this.delta.drop(inode)
      inode.inDelta = false
    }
    if (inode.isHeld) this.nodes.set(inode)
    else {
      this.nodes.delete(inode.node)
      this.#release(inode)
    }
  }

  /** A node that never got a name. */
  discard(inode: Inode): void {
    this.#release(inode)
  }

  /** Nobody can reach it any more. */
  #release(inode: Inode): void {
    if (inode.entry === null) this.delta.usage.giveInodes(1)
    this.contents.remove(inode)
  }

  #moved(inode: Inode, from: Inode, name: ByteString, to: Inode, newName: ByteString): void {
    if (inode.parent === from.node && inode.name === name) {
      inode.parent = to.node
      inode.name = newName
    } else {
      const other = inode.otherNames?.find((link) => link.parent === from.node && link.name === name)
      if (other !== undefined) {
        other.parent = to.node
        other.name = newName
      }
    }
    this.#noteLeaving(inode, from, name)
    stampChange(inode)
    inode.stateEpoch = -1
    if (inode.isDirectory) this.moves++
    this.changed(inode)
  }

  /** A node of the base is at its place there until it is taken away; only then its dentries are all its names. */
  #noteLeaving(inode: Inode, directory: Inode, name: ByteString): void {
    if (inode.entry === null || inode.leftBase || inode.entry.name !== name) return
    if (this.base.find(inode.node).parent === directory.node) inode.leftBase = true
  }

  #directoryChanged(directory: Inode): void {
    stampModified(directory)
    this.changed(directory)
  }
}
