import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  type Codebase,
  CodebaseService,
  type PutTreeRequest_EntrySchema,
  type PutTreeRequestSchema,
} from '../../proto/index.ts'
import type { Connection } from '../client/connection.ts'
import { InternalError } from '../errors.ts'
import { type BytePath, toBytes } from './byte-path.ts'
import { readFile } from './read-file.ts'
import type { LocalEntry, LocalFile } from './walk.ts'

type Request = MessageInitShape<typeof PutTreeRequestSchema>
type WireEntry = MessageInitShape<typeof PutTreeRequest_EntrySchema>

export interface HashedTree {
  /** Absolute, as bytes. */
  readonly root: BytePath
  readonly entries: readonly LocalEntry[]
  readonly hashes: ReadonlyMap<LocalFile, Buffer>
}

export interface PutTreeOptions {
  readonly name: string
  readonly ownerId: string
  /** Gets the tree as its new version; without it a codebase is made. */
  readonly codebaseId?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** How much the server lacks, once that is known. */
  readonly onMissing?: (blobs: number, bytes: number) => void
  readonly onSent?: (blobs: number, bytes: number) => void
}

export interface PutTreeResult {
  readonly codebase: Codebase
  readonly blobsSent: number
  readonly bytesSent: number
}

/** Entries in one message; with the longest paths that is still under the limit of a message. */
const ENTRIES_PER_MESSAGE = 512
const MAX_ENTRIES_BYTES = 1024 * 1024

/** Sends hashes, and of the contents what the server lacks. One file's chunk is in memory at a time. */
export async function putTree(
  connection: Connection,
  tree: HashedTree,
  options: PutTreeOptions,
): Promise<PutTreeResult> {
  const missing = new MissingBlobs()
  const sent = { blobs: 0, bytes: 0 }
  const requests = async function* (): AsyncGenerator<Request> {
    const { name, ownerId, codebaseId = '' } = options
    yield { message: { case: 'start', value: { name, ownerId, codebaseId } } }
    for (const entries of batches(tree)) yield { message: { case: 'entries', value: { entries } } }
    yield { message: { case: 'endEntries', value: {} } }

    const files = filesOf(await missing.all, tree)
    options.onMissing?.(
      files.length,
      files.reduce((sum, { file }) => sum + file.size, 0),
    )
    for (const { file, sha256 } of files) {
      yield { message: { case: 'blob', value: { sha256, size: BigInt(file.size) } } }
      for await (const chunk of readFile(tree.root, file)) {
        // A copy: grpc keeps a few messages before it writes them out, and `chunk` is read into again.
        yield { message: { case: 'data', value: Buffer.from(chunk) } }
        sent.bytes += chunk.length
        options.onSent?.(sent.blobs, sent.bytes)
      }
      sent.blobs++
      options.onSent?.(sent.blobs, sent.bytes)
    }
    yield { message: { case: 'finish', value: {} } }
  }

  let codebase: Codebase | undefined
  const responses = connection.bidi(CodebaseService.method.putTree, requests(), { signal: options.signal })
  for await (const { message } of responses) {
    if (message.case === 'missing') missing.add(message.value.sha256, message.value.last)
    else if (message.case === 'done') codebase = message.value.codebase
  }
  if (codebase === undefined) throw new InternalError('The server ended the upload without an answer')
  return { codebase, blobsSent: sent.blobs, bytesSent: sent.bytes }
}

/** What the server lacks comes in several messages, and is asked for by the other direction of the call. */
class MissingBlobs {
  readonly all: Promise<readonly Uint8Array[]>
  readonly #hashes: Uint8Array[] = []
  #resolve: (hashes: readonly Uint8Array[]) => void = () => undefined

  constructor() {
    this.all = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  add(hashes: readonly Uint8Array[], last: boolean): void {
    for (const hash of hashes) this.#hashes.push(hash)
    if (last) this.#resolve(this.#hashes)
  }
}

function* batches(tree: HashedTree): Generator<WireEntry[]> {
  let batch: WireEntry[] = []
  let bytes = 0
  for (const entry of tree.entries) {
    batch.push(wireEntry(entry, tree.hashes))
    bytes += entry.path.length + (entry.kind === 'symlink' ? entry.target.length : 0)
    if (batch.length < ENTRIES_PER_MESSAGE && bytes < MAX_ENTRIES_BYTES) continue
    yield batch
    batch = []
    bytes = 0
  }
  if (batch.length > 0) yield batch
}

function wireEntry(entry: LocalEntry, hashes: ReadonlyMap<LocalFile, Buffer>): WireEntry {
  const { mode, mtimeNs } = entry
  const path = toBytes(entry.path)
  switch (entry.kind) {
    case 'directory':
      return { path, mode, mtimeNs, kind: { case: 'directory', value: {} } }
    case 'symlink':
      return { path, mode, mtimeNs, kind: { case: 'symlinkTarget', value: toBytes(entry.target) } }
    case 'file':
      return {
        path,
        mode,
        mtimeNs,
        kind: { case: 'file', value: { size: BigInt(entry.size), sha256: hashOf(entry, hashes) } },
      }
  }
}

function hashOf(file: LocalFile, hashes: ReadonlyMap<LocalFile, Buffer>): Buffer {
  const hash = hashes.get(file)
  if (hash === undefined) throw new InternalError(`No hash of ${file.path}`)
  return hash
}

function filesOf(wanted: readonly Uint8Array[], tree: HashedTree): { file: LocalFile; sha256: Uint8Array }[] {
  if (wanted.length === 0) return []
  const byHash = new Map(Array.from(tree.hashes, ([file, hash]) => [hash.toString('latin1'), file]))
  return wanted.map((sha256) => {
    const file = byHash.get(Buffer.from(sha256).toString('latin1'))
    if (file === undefined) throw new InternalError('The server asked for contents that this upload does not have')
    return { file, sha256 }
  })
}
