import { constants, type Dirent, lstatSync, openSync, read, readdirSync, readlinkSync, statSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { ByteString } from '../protocol/filesystem.ts'
import { startHash } from './hash.ts'
import { isGone, type LocalState, localState, openLocal, readWhole, stateOf, withLocal } from './local-file.ts'
import type { Hash, Root } from './objects.ts'
import { joinPath } from './paths.ts'
import type { Store, StoredBlob } from './store.ts'
import { asStoreError, StoreError } from './store-error.ts'
import { TreeBuilder } from './tree-builder.ts'
import { BlobUpload } from './upload.ts'

export interface ImportOptions {
  /** Its reason is what the import rejects with. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: ImportProgress) => void
}

export interface ImportProgress {
  readonly entries: number
  readonly bytes: number
}

export interface Imported {
  readonly hash: Hash
  readonly root: Root
  readonly skipped: readonly Skipped[]
}

/** `gone`: deleted, or made something else, while the import ran; `store`: the store's own directory. */
export interface Skipped {
  readonly path: ByteString
  readonly reason: 'socket' | 'fifo' | 'device' | 'gone' | 'store'
}

/**
 * Makes a version of a local folder as it is: every name, mode, time to the nanosecond, link (kept, never
 * followed) and empty directory. Hard links become files of their own; extended attributes are left out.
 *
 * The folder may change meanwhile: each file is as it was at one time, and its directory is entered by
 * descriptor, so that a link put in a directory's place leads nowhere.
 *
 * @throws {StoreError} with the path: `changed`: a file was written to while it was read, twice; `io`: what
 *   cannot be read; and what putting blobs throws
 */
export async function importDirectory(store: Store, dir: string, options: ImportOptions = {}): Promise<Imported> {
  await using upload = new BlobUpload({}, { store })
  const run: Run = {
    store,
    upload,
    options,
    storeId: localState(statSync(store.dir, { bigint: true })).id,
    builder: new TreeBuilder({}, { store }),
    skipped: [],
    entries: 0,
    bytes: 0,
    turnBytes: 0,
  }
  // The folder itself may be given by a link.
  const fd = reading('', () => openSync(dir, constants.O_RDONLY | constants.O_DIRECTORY))
  await withLocal(fd, () => importContents(run, fd, Buffer.from(dir), ''))
  await upload.commit()
  const { hash, root } = await run.builder.finish()
  report(run)
  return { hash, root, skipped: run.skipped }
}

interface Run {
  readonly store: Store
  readonly upload: BlobUpload
  readonly options: ImportOptions
  readonly storeId: string
  readonly builder: TreeBuilder
  readonly skipped: Skipped[]
  entries: number
  bytes: number
  /** Since others had their turn. */
  turnBytes: number
}

// Reading small files at once is several times as fast as through the thread pool; in turns, so that progress
// is shown and a signal is heard.
const ENTRIES_PER_TURN = 128
const BYTES_PER_TURN = 4 * 1024 * 1024
/** Up to this size a file is read once and as a whole. */
const WHOLE_BYTES = 1024 * 1024
const CHUNK_BYTES = 256 * 1024

const readAsync = promisify(read)

async function importContents(run: Run, fd: number, localPath: Buffer, path: ByteString): Promise<void> {
  const { mode, mtime, mtimeNsec, id } = stateOf(fd)
  if (id === run.storeId) return skip(run, path, 'store')
  run.builder.add({ kind: 'directory', path, mode, mtime, mtimeNsec })
  // By descriptor where the system can: names under it are then looked up in this very directory.
  const base = process.platform === 'linux' ? Buffer.from(`/proc/self/fd/${fd}`) : localPath
  for (const dirent of reading(path, () => readdirSync(base, { withFileTypes: true, encoding: 'buffer' }))) {
    const local = Buffer.concat([base, Buffer.from('/'), dirent.name])
    await importEntry(run, dirent, local, joinPath(path, dirent.name.toString('latin1')))
    if (++run.entries % ENTRIES_PER_TURN === 0 || run.turnBytes > BYTES_PER_TURN) await giveTurn(run)
  }
}

async function importEntry(run: Run, dirent: Dirent<Buffer>, local: Buffer, path: ByteString): Promise<void> {
  if (dirent.isFile() || dirent.isDirectory()) {
    const fd = openPresent(run, local, path, dirent.isDirectory())
    if (fd === null) return
    if (dirent.isDirectory()) await withLocal(fd, () => importContents(run, fd, local, path))
    else await withLocal(fd, () => importFile(run, fd, path))
    return
  }
  if (dirent.isSymbolicLink()) return importLink(run, local, path)
  skip(run, path, dirent.isFIFO() ? 'fifo' : dirent.isSocket() ? 'socket' : 'device')
}

function openPresent(run: Run, local: Buffer, path: ByteString, directory: boolean): number | null {
  try {
    return openLocal(local, directory)
  } catch (error) {
    if (!isGone(error)) throw asStoreError(error, 'opening a file', { path })
    skip(run, path, 'gone')
    return null
  }
}

function importLink(run: Run, local: Buffer, path: ByteString): void {
  let target: ByteString
  let state: LocalState
  try {
    target = readlinkSync(local, { encoding: 'buffer' }).toString('latin1')
    state = localState(lstatSync(local, { bigint: true }))
  } catch (error) {
    if (!isGone(error)) throw asStoreError(error, 'reading a link', { path })
    return skip(run, path, 'gone')
  }
  const { mode, mtime, mtimeNsec } = state
  run.builder.add({ kind: 'symlink', path, target, mode, mtime, mtimeNsec })
}

async function importFile(run: Run, fd: number, path: ByteString): Promise<void> {
  for (let attempt = 1; attempt <= 2; attempt++) {
    const before = reading(path, () => stateOf(fd))
    if (before.kind !== 'file') return skip(run, path, 'gone')
    const stored = await readAndStore(run, fd, before, path)
    if (stored === null || stateOf(fd).version !== before.version) continue
    const { mode, mtime, mtimeNsec } = before
    run.builder.add({ kind: 'file', path, mode, mtime, mtimeNsec, ...stored })
    run.bytes += stored.size
    return
  }
  throw new StoreError('changed', 'The file was written to while it was read', { path })
}

/** Null: the file changed. */
async function readAndStore(run: Run, fd: number, state: LocalState, path: ByteString): Promise<StoredBlob | null> {
  const { size } = state
  if (size <= WHOLE_BYTES) {
    run.turnBytes += size
    const bytes = reading(path, () => readWhole(fd, size))
    return bytes === null ? null : run.upload.addBytes({ size }, bytes)
  }
  // Read twice, so that a large file that is known already is not written again.
  const hash = await hashFile(run, fd, path)
  const [known] = await run.store.blobSizes([hash])
  if (known !== undefined) return { hash, size: known }
  try {
    return await run.upload.addStream({ hash, size }, chunksOf(run, fd, path))
  } catch (error) {
    if (error instanceof StoreError && error.code === 'mismatch') return null
    throw error
  }
}

async function hashFile(run: Run, fd: number, path: ByteString): Promise<Hash> {
  const running = startHash()
  for await (const chunk of chunksOf(run, fd, path)) running.update(chunk)
  return running.digest()
}

async function* chunksOf(run: Run, fd: number, path: ByteString): AsyncGenerator<Buffer> {
  for (let at = 0; ; ) {
    run.options.signal?.throwIfAborted()
    const { bytesRead, buffer } = await readAsync(fd, Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, at).catch(
      (error: unknown) => Promise.reject(asStoreError(error, 'reading a file', { path })),
    )
    if (bytesRead === 0) return
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

async function giveTurn(run: Run): Promise<void> {
  run.turnBytes = 0
  report(run)
  await setImmediate()
  run.options.signal?.throwIfAborted()
}

function report(run: Run): void {
  run.options.onProgress?.({ entries: run.entries, bytes: run.bytes })
}

function skip(run: Run, path: ByteString, reason: Skipped['reason']): void {
  run.skipped.push({ path, reason })
}

function reading<T>(path: ByteString, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw asStoreError(error, 'reading a local folder', { path })
  }
}
