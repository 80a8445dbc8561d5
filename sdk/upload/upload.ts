import { realpath } from 'node:fs/promises'
import { basename } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { throwIfAborted } from '../abort.ts'
import type { Connection } from '../client/connection.ts'
import { userDirs } from '../connect/user-dirs.ts'
import { LocalFileError, UploadError } from '../errors.ts'
import { fromText, toText } from './byte-path.ts'
import { forEachLimited } from './for-each-limited.ts'
import { type HashCache, noHashCache, openHashCache } from './hash-cache.ts'
import type { IgnoreOptions } from './ignore-rules.ts'
import { putTree } from './put-tree.ts'
import { FileChanged, hashFile } from './read-file.ts'
import { codeOf, type LocalEntry, type LocalFile, type SkippedKind, walk } from './walk.ts'

export interface UploadOptions extends IgnoreOptions {
  /** Of the codebase. Default: the folder's name. */
  readonly name?: string
  /** Default: empty. */
  readonly ownerId?: string
  /** Gets the folder as its new version. Default: a codebase is made. */
  readonly codebaseId?: string
  readonly signal?: AbortSignal
  /** Called often; not after the upload has ended. */
  readonly onProgress?: (progress: UploadProgress) => void
  /** For each socket, FIFO and device, none of which is uploaded. */
  readonly onSkip?: (path: string, kind: SkippedKind) => void
  /** Keep hashes from one upload to the next in the user's cache directory. Default true. */
  readonly cache?: boolean
}

export interface UploadProgress {
  /** The folder is read, its files are hashed, what the server lacks is sent. */
  readonly phase: 'reading' | 'hashing' | 'sending'
  /** Done so far in this phase. */
  readonly files: number
  readonly bytes: number
  /** What there is to do in this phase; unknown while reading. */
  readonly total?: { readonly files: number; readonly bytes: number }
}

export interface UploadResult {
  readonly codebaseId: string
  /** SHA-256 of the version's root, in hex. */
  readonly rootHash: string
  /** In the folder, without what is ignored. */
  readonly files: number
  readonly directories: number
  readonly symlinks: number
  readonly bytes: number
  /** What the server lacked: files of different contents. */
  readonly filesSent: number
  readonly bytesSent: number
  readonly durationMs: number
}

const CONCURRENT_HASHES = 8
/** Small files are read and hashed without waiting; after this time others get a turn. */
const SLICE_MS = 10

/**
 * Puts a folder on the server as a codebase. Only contents that the server lacks are sent. Memory does not
 * grow with the size of the files. Symlinks are kept as they are and never followed.
 *
 * Rejects with an `UploadError` that names a file which cannot be read, or which changes again and again
 * while it is; with a `LocalFileError` where the folder is missing; with an `AbortedError` by `signal`.
 */
export async function uploadFolder(
  connection: Connection,
  folder: string,
  options: UploadOptions = {},
): Promise<UploadResult> {
  const startedAt = performance.now()
  const root = await resolveFolder(folder)
  const cache = options.cache === false ? noHashCache() : await openCache(root)
  try {
    return await attempt(connection, root, cache, options, startedAt)
  } catch (first) {
    if (!(first instanceof FileChanged)) throw first
    try {
      return await attempt(connection, root, cache, options, startedAt)
    } catch (second) {
      throw second instanceof FileChanged ? keepsChanging(second) : second
    }
  }
}

async function attempt(
  connection: Connection,
  root: string,
  cache: HashCache,
  options: UploadOptions,
  startedAt: number,
): Promise<UploadResult> {
  const { signal, onProgress } = options
  const entries = await walk(root, {
    ...options,
    onFound: (files) => onProgress?.({ phase: 'reading', files, bytes: 0 }),
  })
  const files = entries.filter((entry) => entry.kind === 'file')
  const total = { files: files.length, bytes: bytesOf(files) }
  const hashes = await hashAll(root, files, cache, options, total)
  await cache.save()

  let toSend = { files: 0, bytes: 0 }
  const result = await putTree(
    connection,
    { root: fromText(root), entries, hashes },
    {
      name: options.name ?? basename(root),
      ownerId: options.ownerId ?? '',
      codebaseId: options.codebaseId,
      signal,
      onMissing: (blobs, bytes) => {
        toSend = { files: blobs, bytes }
        onProgress?.({ phase: 'sending', files: 0, bytes: 0, total: toSend })
      },
      onSent: (blobs, bytes) => onProgress?.({ phase: 'sending', files: blobs, bytes, total: toSend }),
    },
  )
  return {
    codebaseId: result.codebase.id,
    rootHash: Buffer.from(result.codebase.rootHash).toString('hex'),
    ...countKinds(entries),
    bytes: total.bytes,
    filesSent: result.blobsSent,
    bytesSent: result.bytesSent,
    durationMs: performance.now() - startedAt,
  }
}

async function hashAll(
  root: string,
  files: readonly LocalFile[],
  cache: HashCache,
  { signal, onProgress }: UploadOptions,
  total: { files: number; bytes: number },
): Promise<Map<LocalFile, Buffer>> {
  const hashes = new Map<LocalFile, Buffer>()
  const unknown: LocalFile[] = []
  for (const file of files) {
    const known = cache.get(file.identity)
    if (known === undefined) unknown.push(file)
    else hashes.set(file, known)
  }
  const done = { files: hashes.size, bytes: total.bytes - bytesOf(unknown) }
  onProgress?.({ phase: 'hashing', ...done, total })

  const rootPath = fromText(root)
  let sliceEndsAt = performance.now() + SLICE_MS
  await forEachLimited(unknown, CONCURRENT_HASHES, async (file) => {
    if (performance.now() > sliceEndsAt) {
      await setImmediate()
      sliceEndsAt = performance.now() + SLICE_MS
    }
    throwIfAborted(signal)
    const startedAtMs = Date.now()
    const hash = await hashFile(rootPath, file)
    cache.set(file.identity, hash, startedAtMs)
    hashes.set(file, hash)
    done.files++
    done.bytes += file.size
    onProgress?.({ phase: 'hashing', ...done, total })
  })
  return hashes
}

async function resolveFolder(folder: string): Promise<string> {
  try {
    return await realpath(folder)
  } catch (error) {
    throw new LocalFileError(folder, `The folder ${folder} cannot be read (${codeOf(error)})`, { cause: error })
  }
}

/** A cache that cannot be had costs time, and nothing else: no reason to refuse the upload. */
async function openCache(root: string): Promise<HashCache> {
  const cache = await openHashCache(userDirs(process.env).cache, root).catch(noHashCache)
  return { ...cache, save: () => cache.save().catch(() => undefined) }
}

function keepsChanging(error: FileChanged): UploadError {
  const path = toText(error.path)
  return new UploadError(path, `The file ${path} keeps changing while it is uploaded`, {
    cause: error,
    remedy: 'Upload again when nothing writes to it, or exclude it in .croftignore',
  })
}

function bytesOf(files: readonly LocalFile[]): number {
  return files.reduce((sum, file) => sum + file.size, 0)
}

function countKinds(entries: readonly LocalEntry[]): { files: number; directories: number; symlinks: number } {
  const counts = { file: 0, directory: 0, symlink: 0 }
  for (const entry of entries) counts[entry.kind]++
  return { files: counts.file, directories: counts.directory, symlinks: counts.symlink }
}
