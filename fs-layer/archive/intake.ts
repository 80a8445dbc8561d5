import type { ByteString } from '../protocol/filesystem.ts'
import { attributesFault } from '../store/entry.ts'
import { MAX_INLINE_BYTES } from '../store/limits.ts'
import type { Hash, Root } from '../store/objects.ts'
import type { Store } from '../store/store.ts'
import { BlobUpload } from '../store/upload.ts'
import { ArchiveError } from './archive-error.ts'
import { DraftTree } from './draft-tree.ts'
import { OPAQUE_NAME, WHITEOUT_PREFIX } from './items.ts'
import type { Meter } from './meter.ts'
import type { RawEntry } from './read-tar.ts'

export interface IntakeOptions {
  /** What the entries are added to. */
  readonly base: Hash
  readonly maxEntries: number
  readonly maxFileBytes: number
  readonly meter: Meter
}

/**
 * Makes a version of the entries of an archive. Nothing refers to what was put before `finish`; nothing is ever written
 * but to the store, by hash, so a path of an archive is never one of this machine.
 */
export class Intake implements AsyncDisposable {
  readonly #options: IntakeOptions
  readonly #upload: BlobUpload
  readonly #tree: DraftTree

  constructor(options: IntakeOptions, { store }: { store: Store }) {
    this.#options = options
    this.#upload = new BlobUpload({}, { store })
    this.#tree = new DraftTree(options, { store })
  }

  /** What comes from now on takes the place of what came before, and has whiteouts. */
  beginLayer(): void {
    this.#tree.nextLayer()
  }

  /** @throws {ArchiveError} with the path; {StoreError} of a name that cannot be, or of the store */
  async add(entry: RawEntry, form: 'plain' | 'layer'): Promise<void> {
    const path = safePath(entry.path, 'name')
    const { mode, mtime, mtimeNsec } = entry
    this.#options.meter.entry(path)
    const fault = attributesFault({ mode, mtime, mtimeNsec })
    if (fault !== null) throw new ArchiveError('damaged', fault, path)
    const attributes = { mode, mtime, mtimeNsec }
    if (form === 'layer' && this.#isMarker(path)) return
    switch (entry.kind) {
      case 'directory':
        return this.#tree.placeDirectory(path, attributes)
      case 'symlink':
        return this.#tree.placeLeaf(path, { kind: 'symlink', ...attributes, target: entry.target })
      case 'hardlink':
        return this.#link(path, entry.target)
      case 'file': {
        const { hash, size } = await this.#store(path, entry)
        return this.#tree.placeLeaf(path, { kind: 'file', ...attributes, size, hash })
      }
      default:
        throw new ArchiveError('unsupported', `A ${entry.kind} cannot be in a version`, path)
    }
  }

  async finish(): Promise<{ hash: Hash; root: Root }> {
    await this.#upload.commit()
    return await this.#tree.finish()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#upload[Symbol.asyncDispose]()
  }

  #isMarker(path: ByteString): boolean {
    const slash = path.lastIndexOf('/')
    const name = path.slice(slash + 1)
    if (!name.startsWith(WHITEOUT_PREFIX)) return false
    const directory = path.slice(0, Math.max(slash, 0))
    if (name === OPAQUE_NAME) this.#tree.clear(directory)
    // Others that begin like that are records of an older filesystem, and of nothing in the image.
    else if (!name.startsWith(WHITEOUT_PREFIX.repeat(2))) {
      const gone = name.slice(WHITEOUT_PREFIX.length)
      if (gone === '' || gone === '.' || gone === '..') throw new ArchiveError('unsafe', 'A whiteout of no name', path)
      this.#tree.remove(directory === '' ? gone : `${directory}/${gone}`)
    }
    return true
  }

  /** Another name for a file that came before; it is a file of its own in a version. */
  #link(path: ByteString, target: ByteString): void {
    const file = this.#tree.fileAt(safePath(target, 'target of a hard link'))
    if (file === null) throw new ArchiveError('conflict', 'A hard link to what is no file in the archive', path)
    const { mode, mtime, mtimeNsec, size, hash } = file
    this.#options.meter.unpacked(size, path)
    this.#tree.placeLeaf(path, { kind: 'file', mode, mtime, mtimeNsec, size, hash })
  }

  async #store(path: ByteString, { size, contents }: RawEntry) {
    const { maxFileBytes, meter } = this.#options
    if (size > maxFileBytes) throw new ArchiveError('limit', `A file of more than ${maxFileBytes} bytes`, path)
    meter.announced(size, path)
    try {
      // Its size is not declared: what somebody says is no reason to look for so much room.
      if (size > MAX_INLINE_BYTES) return await this.#upload.addStream({}, contents)
      const chunks: Buffer[] = []
      for await (const chunk of contents) chunks.push(chunk)
      // A copy, for chunks are pieces of something larger.
      return await this.#upload.addBytes({ size }, Buffer.concat(chunks))
    } catch (error) {
      if (error instanceof ArchiveError && error.path === undefined) {
        throw new ArchiveError(error.code, error.message, path, error)
      }
      throw error
    }
  }
}

/** Without what says nothing; one that leads elsewhere is refused and not mended. */
export function safePath(raw: ByteString, what: string): ByteString {
  if (raw.startsWith('/')) throw new ArchiveError('unsafe', `An absolute ${what}`, raw)
  const names = raw.split('/').filter((name) => name !== '' && name !== '.')
  if (names.includes('..')) throw new ArchiveError('unsafe', `A ${what} with ".."`, raw)
  return names.join('/')
}
