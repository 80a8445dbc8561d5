import { IN_BASE, type Inode } from '../delta/inode.ts'
import type { Moment } from '../delta/moment.ts'
import { EFBIG, ENAMETOOLONG } from '../protocol/errno.ts'
import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import type { CutDirectory, CutEntry, CutPart, CutRoot } from '../store/cut-part.ts'
import { MAX_BLOB_BYTES, MAX_PATH_BYTES } from '../store/limits.ts'
import { kindOf } from './node-info.ts'
import type { Overlay } from './overlay.ts'
import { Touched } from './touched.ts'

/** Bytes of files, and number of directories, in one part. */
const PART_BYTES = 256 * 1024
const PART_DIRECTORIES = 256

/**
 * The whole view as it is when the first part is asked for, whatever happens to it then; as its owner has it, with what
 * was hidden in directories that the sandbox removed. Its cost goes with what was changed.
 */
export function* cutParts(overlay: Overlay): Generator<CutPart> {
  const cut = new Cut(overlay)
  const root = cut.take()
  const moment = overlay.contents.moments.open(cut.files.values())
  try {
    yield* contentsOf(cut.files.keys(), moment)
  } finally {
    moment[Symbol.dispose]()
  }
  for (let at = 0; at < cut.directories.length; at += PART_DIRECTORIES) {
    yield { directories: cut.directories.slice(at, at + PART_DIRECTORIES) }
  }
  yield { root }
}

function* contentsOf(nodes: Iterable<NodeId>, moment: Moment): Generator<CutPart> {
  let files: { content: number; data: Buffer }[] = []
  let bytes = 0
  for (const node of [...nodes]) {
    const size = moment.sizeOf(node)
    if (size > PART_BYTES) {
      yield* largeFile(node, size, moment)
      continue
    }
    const data = Buffer.allocUnsafeSlow(size)
    moment.read(node, 0, data)
    moment.drop(node)
    files.push({ content: node, data })
    bytes += size
    if (bytes < PART_BYTES && files.length < PART_DIRECTORIES) continue
    yield { files }
    files = []
    bytes = 0
  }
  if (files.length > 0) yield { files }
}

function* largeFile(node: NodeId, size: number, moment: Moment): Generator<CutPart> {
  yield { begin: { content: node, size } }
  for (let at = 0; at < size; at += PART_BYTES) {
    const data = Buffer.allocUnsafeSlow(Math.min(PART_BYTES, size - at))
    moment.read(node, at, data)
    yield { data }
  }
  moment.drop(node)
}

class Cut {
  readonly #overlay: Overlay
  readonly #touched: Touched
  readonly directories: CutDirectory[] = []
  /** Those whose contents are not the base's. */
  readonly files = new Map<NodeId, Inode>()
  readonly #seen: Inode[] = []
  #skipped = 0

  constructor(overlay: Overlay) {
    this.#overlay = overlay
    this.#touched = new Touched(overlay)
  }

  take(): CutRoot {
    const { root } = this.#overlay
    this.#directory([root], 0)
    this.#touched.release()
    for (const inode of this.#seen) this.#overlay.unlook(inode)
    const { mtime, mtimeNsec } = root
    return { mode: root.mode & 0o7777, mtime, mtimeNsec, skipped: this.#skipped }
  }

  /**
   * A directory's place among those told, or null where nothing in it is touched. `layers`: the directory, then what
   * the sandbox removed at its place and could not see empty.
   */
  #directory(layers: readonly Inode[], pathBytes: number): number | null {
    const [first] = layers
    const isMerged = layers.length > 1
    const names = isMerged ? this.#allNames(layers) : first && this.#touched.in(first)
    if (names === undefined) return null
    const entries: CutEntry[] = []
    const without: ByteString[] = []
    for (const name of names) {
      const entry = this.#entry(layers, name, pathBytes)
      if (entry === null) without.push(name)
      else entries.push(entry)
    }
    const from = !isMerged && first?.entry?.kind === 'directory' ? first.entry.hash : null
    return this.directories.push({ from, without, with: entries }) - 1
  }

  #allNames(layers: readonly Inode[]): Set<ByteString> {
    const names = new Set<ByteString>()
    for (const layer of layers) {
      for (const { name } of this.#overlay.list(layer)) names.add(name)
      for (const dentry of this.#overlay.delta.directories.get(layer.node)?.all() ?? []) {
        if (dentry.shadows.length > 0) names.add(dentry.name)
      }
    }
    return names
  }

  /** Null: nothing is there that a version has. */
  #entry(layers: readonly Inode[], name: ByteString, parentBytes: number): CutEntry | null {
    const found = layers.flatMap((layer) => {
      const visible = this.#overlay.lookup(layer, name)
      const shadows = this.#overlay.shadows(layer, name)
      return visible === null ? shadows : [visible, ...shadows]
    })
    this.#seen.push(...found)
    const [inode] = found
    if (inode === undefined) return null
    const pathBytes = parentBytes + (parentBytes > 0 ? 1 : 0) + name.length
    if (pathBytes > MAX_PATH_BYTES) throw ENAMETOOLONG
    const attributes = { name, mode: inode.mode & 0o7777, mtime: inode.mtime, mtimeNsec: inode.mtimeNsec }
    const kind = kindOf(inode.mode)
    switch (kind) {
      case 'file':
        return this.#file(inode, attributes)
      case 'symlink':
        return { kind, ...attributes, target: inode.target }
      case 'directory': {
        const directories = found.filter(({ isDirectory }) => isDirectory)
        const directory = this.#directory(directories, pathBytes)
        if (directory !== null) return { kind, ...attributes, directory }
        return inode.entry?.kind === 'directory' ? { ...inode.entry, ...attributes } : this.#empty(attributes)
      }
      default:
        this.#skipped++
        return null
    }
  }

  #file(inode: Inode, attributes: { name: ByteString; mode: number; mtime: number; mtimeNsec: number }): CutEntry {
    const { size, entry } = inode
    if (size > MAX_BLOB_BYTES) throw EFBIG
    if (inode.place === IN_BASE && entry?.kind === 'file') {
      return { kind: 'file', ...attributes, size, hash: entry.hash }
    }
    this.files.set(inode.node, inode)
    return { kind: 'file', ...attributes, size, content: inode.node }
  }

  /** One that the sandbox made, with nothing in it. */
  #empty(attributes: { name: ByteString; mode: number; mtime: number; mtimeNsec: number }): CutEntry {
    const directory = this.directories.push({ from: null, without: [], with: [] }) - 1
    return { kind: 'directory', ...attributes, directory }
  }
}
