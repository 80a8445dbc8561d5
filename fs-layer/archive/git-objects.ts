import { createHash } from 'node:crypto'
import { isGitsOwn } from '../diff/git-path.ts'
import { modeOf } from '../diff/patch-mode.ts'
import type { ByteString } from '../protocol/filesystem.ts'
import type { FileEntry, Hash, SymlinkEntry } from '../store/objects.ts'
import { type ArchiveSource, contentsOf, itemsOf } from './write.ts'

export type GitObject =
  | { readonly type: 'blob'; readonly id: string; readonly size: number; readonly entry: FileEntry | SymlinkEntry }
  | { readonly type: 'tree' | 'commit'; readonly id: string; readonly size: number; readonly bytes: Buffer }

/**
 * What git needs to have a version: its objects, each once, named as git names them. Kept of each file are its names,
 * of each directory git's bytes. What git has no place for is left out: empty directories, `.git`, times, and of modes
 * all but whether a file is a program.
 */
export class GitObjects {
  readonly #objects = new Map<string, GitObject>()
  /** What the store calls it, and what git does. */
  readonly #blobs = new Map<Hash, string>()

  get all(): Iterable<GitObject> {
    return this.#objects.values()
  }

  get count(): number {
    return this.#objects.size
  }

  /** Resolves with the name of the tree of all items. */
  async addTree(source: ArchiveSource): Promise<{ tree: string; newestMtime: number }> {
    const open: Open[] = [{ path: '', entries: [] }]
    let newestMtime = 0
    for await (const { path, entry } of itemsOf(source)) {
      if (path === '' || isGitsOwn(path)) continue
      this.#closeTo(open, parentOf(path))
      if (entry.kind === 'directory') {
        open.push({ path, entries: [] })
        continue
      }
      newestMtime = Math.max(newestMtime, entry.mtime)
      open.at(-1)?.entries.push({ name: entry.name, mode: modeOf(entry), id: await this.#addBlob(source, entry) })
    }
    this.#closeTo(open, '')
    return { tree: this.#addTreeOf(open[0]?.entries ?? []), newestMtime }
  }

  addCommit(text: string): string {
    const bytes = Buffer.from(text)
    return this.#add({ type: 'commit', id: idOf('commit', bytes), size: bytes.length, bytes })
  }

  /** Those directories are whole that the next path is not in. */
  #closeTo(open: Open[], directory: ByteString): void {
    for (let top = open.at(-1); top !== undefined && top.path !== directory; top = open.at(-1)) {
      open.pop()
      if (top.entries.length === 0) continue
      const name = top.path.slice(top.path.lastIndexOf('/') + 1)
      open.at(-1)?.entries.push({ name, mode: '40000', id: this.#addTreeOf(top.entries) })
    }
  }

  #addTreeOf(entries: TreeLine[]): string {
    // Directories are in their place as if a slash ended their names.
    const key = ({ name, mode }: TreeLine) => (mode === '40000' ? `${name}/` : name)
    entries.sort((a, b) => (key(a) < key(b) ? -1 : 1))
    const bytes = Buffer.concat(
      entries.flatMap(({ name, mode, id }) => [Buffer.from(`${mode} ${name}\0`, 'latin1'), Buffer.from(id, 'hex')]),
    )
    return this.#add({ type: 'tree', id: idOf('tree', bytes), size: bytes.length, bytes })
  }

  async #addBlob(source: ArchiveSource, entry: FileEntry | SymlinkEntry): Promise<string> {
    if (entry.kind === 'symlink') {
      const bytes = Buffer.from(entry.target, 'latin1')
      return this.#add({ type: 'blob', id: idOf('blob', bytes), size: bytes.length, entry })
    }
    const known = this.#blobs.get(entry.hash)
    if (known !== undefined) return known
    const hash = createHash('sha1').update(`blob ${entry.size}\0`)
    const { onContents: _, ...silent } = source
    for await (const chunk of contentsOf(silent, entry)) hash.update(chunk)
    const id = hash.digest('hex')
    this.#blobs.set(entry.hash, id)
    return this.#add({ type: 'blob', id, size: entry.size, entry })
  }

  #add(object: GitObject): string {
    if (!this.#objects.has(object.id)) this.#objects.set(object.id, object)
    return object.id
  }
}

interface TreeLine {
  readonly name: ByteString
  readonly mode: string
  readonly id: string
}

interface Open {
  readonly path: ByteString
  readonly entries: TreeLine[]
}

function parentOf(path: ByteString): ByteString {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0))
}

function idOf(type: string, bytes: Buffer): string {
  return createHash('sha1').update(`${type} ${bytes.length}\0`).update(bytes).digest('hex')
}
