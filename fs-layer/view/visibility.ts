import type { Inode } from '../delta/inode.ts'
import { S_IFDIR } from '../delta/inode.ts'
import type { PathState } from '../policy/path-state.ts'
import type { Policy } from '../policy/policy.ts'
import { NONE, VIEW, WRITE } from '../policy/rule.ts'
import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import { ROOT_NODE } from '../protocol/filesystem.ts'
import type { Listed, Overlay } from './overlay.ts'

interface Remembered<T> {
  readonly at: number
  readonly value: T
}

/** How many directories are visible in one of a state. */
interface Counted {
  readonly state: PathState
  /** The overlay's `structure`, where some show only by what is deep in them; null where none does. */
  readonly at: number | null
  count: number
}

/** What may be seen and done with the paths of an overlay. */
export interface Visibility {
  stateOf(inode: Inode): PathState
  /** Until it gets a name, it is wholly its maker's. */
  own(inode: Inode): void
  childState(directory: Inode, name: ByteString): PathState
  isVisible(inode: Inode): boolean
  /** Of an inode whose path has the given state. */
  isVisibleAs(inode: Inode, state: PathState): boolean
  /** Of an entry of a listing, in a directory of the given state. */
  shows(directory: PathState, listed: Listed): boolean
  /** Whether moving from one path to another could show more of what moves. */
  mayRaise(from: PathState, to: PathState): boolean
  /** Something visible below that may not be written: moving the directory would take it from its path. */
  hasRestrictedBelow(directory: Inode, state: PathState): boolean
  /** `st_nlink`: 2 and one for each visible directory in it. */
  directoryLinks(directory: Inode, state: PathState): number
}

/**
 * By a policy. A path's state in it is kept with its inode and is good for one epoch: until the rules change or
 * a directory moves.
 */
export class PolicyVisibility implements Visibility {
  readonly #overlay: Overlay
  #policy: Policy
  #rules = 0
  readonly #reveals = new Map<NodeId, Remembered<boolean>>()
  readonly #subdirectories = new Map<NodeId, Counted>()

  constructor(overlay: Overlay, policy: Policy) {
    this.#overlay = overlay
    this.#policy = policy
    overlay.onSubdirectory = (...change) => this.#countSubdirectory(...change)
  }

  get policy(): Policy {
    return this.#policy
  }

  setPolicy(policy: Policy): void {
    this.#policy = policy
    this.#rules++
    this.#reveals.clear()
    this.#subdirectories.clear()
  }

  /** Of the root everything is at least visible: a sandbox has somewhere to stand. */
  stateOf(inode: Inode): PathState {
    const epoch = this.#rules + this.#overlay.moves
    if (inode.stateEpoch === epoch) return inode.state as PathState
    // A node without a name keeps the rights of the last one it had.
    if (inode.nlink === 0 && inode.state !== null) return inode.state as PathState
    const unknown: Inode[] = []
    let at = inode
    while (at.stateEpoch !== epoch && at.node !== ROOT_NODE) {
      unknown.push(at)
      at = this.#overlay.inode(at.parent)
    }
    let state = at.stateEpoch === epoch ? (at.state as PathState) : this.#policy.root
    at.state = state
    at.stateEpoch = epoch
    for (let index = unknown.length - 1; index >= 0; index--) {
      const next = unknown[index]!
      state = this.#policy.step(state, next.name)
      next.state = state
      next.stateEpoch = epoch
    }
    return inode.otherNames === null ? state : this.#highest(inode, state)
  }

  own(inode: Inode): void {
    inode.state = EVERYTHING
    inode.nlink = 0
  }

  childState(directory: Inode, name: ByteString): PathState {
    return this.#policy.step(this.stateOf(directory), name)
  }

  isVisible(inode: Inode): boolean {
    return inode.node === ROOT_NODE || this.isVisibleAs(inode, this.stateOf(inode))
  }

  isVisibleAs(inode: Inode, state: PathState): boolean {
    if (state.level >= VIEW) return true
    return state.mayRevealBelow && inode.isDirectory && inode.nlink > 0 && this.#revealsBelow(inode, state)
  }

  shows(directory: PathState, listed: Listed): boolean {
    const state = this.#policy.step(directory, listed.name)
    if (state.level >= VIEW) return true
    if (!state.mayRevealBelow || this.#overlay.typeOf(listed) !== S_IFDIR) return false
    return this.#revealsBelow(this.#overlay.inode(listed.node), state)
  }

  directoryLinks(directory: Inode, state: PathState): number {
    if (directory.nlink === 0) return 0
    const known = this.#subdirectories.get(directory.node)
    const { structure } = this.#overlay
    if (known?.state === state && (known.at === null || known.at === structure)) return 2 + known.count
    let count = 0
    let isDeep = false
    for (const listed of this.#overlay.list(directory)) {
      if (this.#overlay.typeOf(listed) !== S_IFDIR) continue
      if (this.shows(state, listed)) count++
      isDeep ||= this.#policy.step(state, listed.name).mayRevealBelow
    }
    remember(this.#subdirectories, directory.node, { state, at: isDeep ? structure : null, count })
    return 2 + count
  }

  /** Counting all of them anew would make a directory of many take as long as the square of their number. */
  #countSubdirectory(directory: Inode, name: ByteString, change: 1 | -1): void {
    const known = this.#subdirectories.get(directory.node)
    if (known === undefined) return
    const { level, mayRevealBelow } = this.#policy.step(known.state, name)
    if (mayRevealBelow) this.#subdirectories.delete(directory.node)
    else if (level >= VIEW) known.count += change
  }

  mayRaise(from: PathState, to: PathState): boolean {
    return this.#policy.mayRaise(from, to) === 'maybe'
  }

  hasRestrictedBelow(directory: Inode, state: PathState): boolean {
    if (!state.mayRestrictBelow) return false
    for (const listed of this.#overlay.list(directory)) {
      const child = this.#policy.step(state, listed.name)
      if (child.level > NONE && child.level < WRITE) return true
      if (this.#overlay.typeOf(listed) !== S_IFDIR) continue
      if (this.hasRestrictedBelow(this.#overlay.inode(listed.node), child)) return true
    }
    return false
  }

  /** Of several names the one that allows most counts: the contents can be reached there in any case. */
  #highest(inode: Inode, state: PathState): PathState {
    let highest = state
    for (const { parent, name } of inode.otherNames ?? []) {
      if (highest.level === WRITE) break
      const other = this.childState(this.#overlay.inode(parent), name)
      if (other.level > highest.level) highest = other
    }
    inode.state = highest
    return highest
  }

  #revealsBelow(directory: Inode, state: PathState): boolean {
    const at = this.#overlay.structure + this.#rules
    const known = this.#reveals.get(directory.node)
    if (known !== undefined && known.at === at) return known.value
    let value = false
    for (const listed of this.#overlay.list(directory)) {
      if (this.shows(state, listed)) {
        value = true
        break
      }
    }
    remember(this.#reveals, directory.node, { at, value })
    return value
  }
}

function remember<T>(memory: Map<NodeId, T>, node: NodeId, what: T): void {
  if (memory.size >= REMEMBERED_MAX) memory.clear()
  memory.set(node, what)
}

/** Directories of which something is remembered; when there are more it is worked out anew. */
const REMEMBERED_MAX = 10_000

/** Everything: for the owner of the codebase. */
export class FullVisibility implements Visibility {
  readonly #overlay: Overlay

  constructor(overlay: Overlay) {
    this.#overlay = overlay
  }

  stateOf(): PathState {
    return EVERYTHING
  }

  own(): void {
    // Everything is.
  }

  childState(): PathState {
    return EVERYTHING
  }

  isVisible(): boolean {
    return true
  }

  isVisibleAs(): boolean {
    return true
  }

  shows(): boolean {
    return true
  }

  mayRaise(): boolean {
    return false
  }

  hasRestrictedBelow(): boolean {
    return false
  }

  directoryLinks(directory: Inode): number {
    let links = 2
    for (const listed of this.#overlay.list(directory)) if (this.#overlay.typeOf(listed) === S_IFDIR) links++
    return links
  }
}

const EVERYTHING: PathState = {
  level: WRITE,
  mayRevealBelow: false,
  mayWriteBelow: true,
  mayRestrictBelow: false,
  uniformBelow: WRITE,
}
