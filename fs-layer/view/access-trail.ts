import type { Inode } from '../delta/inode.ts'
import type { Level } from '../policy/rule.ts'
import type { ByteString } from '../protocol/filesystem.ts'
import { TRAIL_BYTES_MAX, TRAIL_PATHS_MAX, TRAIL_REFUSED_MAX } from './limits.ts'
import type { Use } from './observer.ts'
import type { Overlay } from './overlay.ts'
import type { PathMemory } from './path-memory.ts'
import { noCounts, refusalOf, TRAIL_COUNTS, type TrailCounts, type TrailEntry } from './trail-entry.ts'

interface Known {
  isDirectory: boolean
  readonly counts: TrailCounts
  /** Of paths below it that there was no room for. */
  below: TrailCounts | null
}

/**
 * What programs did with which paths, counted. An inode keeps hold of its counts, so that a use costs an addition; its
 * path is made when it is used for the first time, or after its name has changed.
 *
 * Bounded: when there is no room for another path, it counts for the nearest directory above it that has an entry, in
 * a place of its own, so that nothing is lost but the name. Names that were only refused have a smaller room of their
 * own: asking for thousands of them does not push out what was really used.
 */
export class AccessTrail {
  readonly #overlay: Overlay
  readonly #paths: PathMemory
  readonly #known = new Map<ByteString, Known>()
  #bytes = 0
  #refused = 0
  #refusedBytes = 0
  /** Goes up at each use: what has been saved says how far. */
  changes = 0

  constructor(overlay: Overlay, paths: PathMemory, entries: Iterable<TrailEntry> = []) {
    this.#overlay = overlay
    this.#paths = paths
    this.#known.set('', { isDirectory: true, counts: noCounts(), below: null })
    for (const { path, isDirectory, isBelow, ...counts } of entries) {
      const used = this.#find(path, isDirectory, false)
      if (used === null) continue
      if (isBelow) used.below = counts
      else add(used.counts, counts)
    }
  }

  used(inode: Inode, use: Use): void {
    this.#at(inode)[use]++
    this.changes++
  }

  wrote(inode: Inode): void {
    this.#at(inode).write++
    this.changes++
  }

  /** A name came to be, of an inode that has it now. */
  came(path: ByteString, inode: Inode): void {
    const counts = this.#countsOf(path, inode.isDirectory, false)
    counts.write++
    this.changes++
    if (inode.nlink === 1) this.#hold(inode, counts)
    else inode.trail = null
  }

  /** A name went, of an inode that had no other: what it holds are the counts of that name. */
  wentOnly(path: ByteString, inode: Inode): void {
    const counts = this.#held(inode) ?? this.#countsOf(path, inode.isDirectory, false)
    counts.remove++
    this.changes++
    inode.trail = null
  }

  /** Something became of a name: it came, went, or was one end of a directory's move. */
  named(how: 'write' | 'remove' | 'move', path: ByteString, isDirectory: boolean): void {
    this.#countsOf(path, isDirectory, false)[how]++
    this.changes++
  }

  refused(path: ByteString, needed: Level): void {
    this.#countsOf(path, false, true)[refusalOf(needed)]++
    this.changes++
  }

  refusedAt(inode: Inode, needed: Level): void {
    this.#at(inode)[refusalOf(needed)]++
    this.changes++
  }

  *entries(): Generator<TrailEntry> {
    for (const [path, { isDirectory, counts, below }] of this.#known) {
      // The root has an entry before anything was done with it.
      if (path !== '' || Object.values(counts).some((count) => count > 0)) {
        yield { path, isDirectory, isBelow: false, ...counts }
      }
      if (below !== null) yield { path, isDirectory, isBelow: true, ...below }
    }
  }

  #at(inode: Inode): TrailCounts {
    const held = this.#held(inode)
    if (held !== null) return held
    // A file that has no name any more, or not yet, concerns nobody who goes by names.
    if (inode.nlink === 0) return noCounts()
    return this.#hold(inode, this.#countsOf(this.#paths.of(inode), inode.isDirectory, false))
  }

  /** Null where another directory's move may have given it another path. */
  #held(inode: Inode): TrailCounts | null {
    return inode.trailMoves === this.#overlay.moves ? inode.trail : null
  }

  #hold(inode: Inode, counts: TrailCounts): TrailCounts {
    inode.trail = counts
    inode.trailMoves = this.#overlay.moves
    return counts
  }

  #countsOf(path: ByteString, isDirectory: boolean, isRefusal: boolean): TrailCounts {
    const known = this.#find(path, isDirectory, isRefusal)
    if (known !== null) return known.counts
    let above = path
    for (;;) {
      above = above.slice(0, Math.max(0, above.lastIndexOf('/')))
      const directory = this.#known.get(above)
      if (directory === undefined) continue
      directory.below ??= noCounts()
      return directory.below
    }
  }

  /** Makes an entry where there is room for it. */
  #find(path: ByteString, isDirectory: boolean, isRefusal: boolean): Known | null {
    let known = this.#known.get(path)
    if (known !== undefined) {
      if (isDirectory) known.isDirectory = true
      return known
    }
    if (isRefusal) {
      if (this.#refused >= TRAIL_REFUSED_MAX || this.#refusedBytes + path.length > TRAIL_BYTES_MAX / 8) return null
      this.#refused++
      this.#refusedBytes += path.length
    } else {
      // The root's entry is always there.
      const paths = this.#known.size - 1 - this.#refused
      if (paths >= TRAIL_PATHS_MAX || this.#bytes + path.length > TRAIL_BYTES_MAX) return null
      this.#bytes += path.length
    }
    known = { isDirectory, counts: noCounts(), below: null }
    this.#known.set(path, known)
    return known
  }
}

function add(to: TrailCounts, from: TrailCounts): void {
  for (const name of TRAIL_COUNTS) to[name] += from[name]
}
