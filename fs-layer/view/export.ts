import { tarEnd, tarHeader, tarPadding } from '../archive/tar-header.ts'
import { type Inode, OWNER_ID } from '../delta/inode.ts'
import { READ } from '../policy/rule.ts'
import { EINVAL, EIO } from '../protocol/errno.ts'
import type { ByteString, NodeId } from '../protocol/filesystem.ts'
import { ROOT_NODE } from '../protocol/filesystem.ts'
import { changesOf } from './changes.ts'
import { kindOf, type Principal } from './node-info.ts'
import type { OpenView } from './open-view.ts'
import type { Overlay } from './overlay.ts'
import type { View } from './view.ts'

const CHUNK_BYTES = 256 * 1024
/** The marker of a deleted name in an OCI image layer (image-spec, layer.md). */
const WHITEOUT_PREFIX = '.wh.'

/**
 * A tar stream of the whole view, or of what differs from its base, in chunks of about 256 KiB. The view may
 * change meanwhile: each entry is as it was when it was written, and a file that shrank is filled with zeros.
 *
 * A sandbox's export leaves out what the rules hide, and files that they let nobody read. The owner's has it all, also what was hidden in
 * directories that the sandbox removed.
 */
export function* exportTar(open: OpenView, content: 'view' | 'delta', as: Principal): Generator<Buffer> {
  const exporter = new Exporter(open.view(as), open.overlay)
  yield* gathered(content === 'view' ? exporter.tree() : exporter.delta())
}

class Exporter {
  readonly #view: View
  readonly #overlay: Overlay
  /** Where a file with several names went first. */
  readonly #written = new Map<NodeId, ByteString>()

  constructor(view: View, overlay: Overlay) {
    this.#view = view
    this.#overlay = overlay
  }

  *tree(): Generator<Buffer> {
    yield* this.#below([this.#overlay.inode(ROOT_NODE)], '')
    yield tarEnd()
  }

  *delta(): Generator<Buffer> {
    let whiteout: ByteString | null = null
    for (const { kind, path, from, type } of changesOf(this.#overlay)) {
      if (path.split('/').some((name) => name.startsWith(WHITEOUT_PREFIX))) throw EINVAL
      if (from !== undefined) yield* this.#whiteout(from)
      if (kind === 'deleted') {
        // One whiteout hides all below it.
        if (whiteout === null || !path.startsWith(`${whiteout}/`)) yield* this.#whiteout(path)
        if (type === 'directory' && (whiteout === null || !path.startsWith(`${whiteout}/`))) whiteout = path
        continue
      }
      const inode = this.#resolve(path)
      if (inode === null) continue
      yield* this.#entry(inode, path)
      if (kind === 'renamed' && inode.isDirectory) yield* this.#below([inode], path)
    }
    yield tarEnd()
  }

  /** `layers`: the directory, then what the sandbox removed at its place and could not see empty. */
  *#below(layers: readonly Inode[], path: ByteString): Generator<Buffer> {
    // A stack of our own: a sandbox makes trees deeper than that of calls.
    const levels = [{ layers, path, names: this.#names(layers).values() }]
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const next = level.names.next()
      if (next.done === true) {
        levels.pop()
        continue
      }
      const name = next.value
      const found = level.layers.flatMap((layer) => this.#children(layer, name))
      const first = found[0]
      if (first === undefined) continue
      const childPath = level.path === '' ? name : `${level.path}/${name}`
      yield* this.#entry(first, childPath)
      if (!first.isDirectory) continue
      const directories = found.filter((inode) => inode.isDirectory)
      levels.push({ layers: directories, path: childPath, names: this.#names(directories).values() })
    }
  }

  #names(layers: readonly Inode[]): ByteString[] {
    const names = new Set<ByteString>()
    for (const layer of layers) {
      for (const { name } of this.#overlay.list(layer)) names.add(name)
      for (const dentry of this.#overlay.delta.directories.get(layer.node)?.all() ?? []) {
        if (dentry.shadows.length > 0) names.add(dentry.name)
      }
    }
    return [...names].sort()
  }

  #children(directory: Inode, name: ByteString): Inode[] {
    const inode = this.#overlay.lookup(directory, name)
    const visible = inode !== null && this.#view.visibility.isVisible(inode) ? [inode] : []
    return this.#view.showsHidden ? [...visible, ...this.#overlay.shadows(directory, name)] : visible
  }

  #resolve(path: ByteString): Inode | null {
    let inode = this.#overlay.inode(ROOT_NODE)
    for (const name of path.split('/')) {
      const child = this.#children(inode, name)[0]
      if (child === undefined) return null
      inode = child
    }
    return inode
  }

  *#entry(inode: Inode, path: ByteString): Generator<Buffer> {
    const attributes = {
      path,
      mode: inode.mode & 0o7777,
      uid: inode.uid === OWNER_ID ? 0 : inode.uid,
      gid: inode.gid === OWNER_ID ? 0 : inode.gid,
      mtime: inode.mtime,
      mtimeNsec: inode.mtimeNsec,
    }
    const kind = kindOf(inode.mode)
    // tar(5) has no type for sockets, and nobody misses one.
    if (kind === 'socket') return
    // An archive has no file without contents: of one that can only be looked at there is nothing.
    if (kind === 'file' && !this.#view.showsHidden && this.#view.visibility.stateOf(inode).level < READ) return
    if (kind === 'symlink') yield tarHeader({ ...attributes, kind, size: 0, target: inode.target })
    else if (kind !== 'file') yield tarHeader({ ...attributes, kind, size: 0 })
    else yield* this.#file(inode, attributes)
  }

  *#file(inode: Inode, attributes: Omit<Parameters<typeof tarHeader>[0], 'kind' | 'size'>): Generator<Buffer> {
    const first = this.#written.get(inode.node)
    if (first !== undefined) {
      yield tarHeader({ ...attributes, kind: 'hardlink', size: 0, target: first })
      return
    }
    if (inode.nlink > 1) this.#written.set(inode.node, attributes.path)
    const { size } = inode
    yield tarHeader({ ...attributes, kind: 'file', size })
    for (let at = 0; at < size; ) {
      const chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, size - at))
      const got = this.#overlay.contents.read(inode, at, chunk.length, chunk, 0)
      if (got < chunk.length && inode.size >= size) throw EIO
      chunk.fill(0, got)
      yield chunk
      at += chunk.length
    }
    yield tarPadding(size)
  }

  *#whiteout(path: ByteString): Generator<Buffer> {
    const slash = path.lastIndexOf('/')
    const marker = `${path.slice(0, slash + 1)}${WHITEOUT_PREFIX}${path.slice(slash + 1)}`
    yield tarHeader({ path: marker, kind: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0, mtimeNsec: 0, size: 0 })
  }
}

/** Many small headers and files as few large messages; each piece is a buffer of its own, free to be handed on. */
function* gathered(pieces: Iterable<Buffer>): Generator<Buffer> {
  let waiting: Buffer[] = []
  let bytes = 0
  for (const piece of pieces) {
    waiting.push(piece)
    bytes += piece.length
    if (bytes < CHUNK_BYTES) continue
    yield Buffer.concat(waiting)
    waiting = []
    bytes = 0
  }
  if (bytes > 0) yield Buffer.concat(waiting)
}
