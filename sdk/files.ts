import type { MessageInitShape } from '@bufbuild/protobuf'
import { type FileEntry, FileKind, FileService, type WriteFileRequestSchema } from '../proto/index.ts'
import { type AsOption, principalOf } from './as.ts'
import type { Connection } from './client/connection.ts'
import { type EntryKind, kindFromWire } from './entry-kind.ts'
import { InvalidArgumentError, NotFoundError } from './errors.ts'
import { pathToWire, type ReadPath, textOf, type ViewPath } from './view-path.ts'
import { type FileEvent, type WatchFilesOptions, watchFiles } from './watch-files.ts'

export interface ReadOptions extends AsOption {
  /** Bytes to skip. Default 0. */
  readonly offset?: number
  /** Bytes to read at most. Default: to the end. */
  readonly length?: number
}

export interface WriteOptions extends AsOption {
  /** Permission bits of a new file. Default 0o644. */
  readonly mode?: number
  /** Make missing parents. Default true. */
  readonly parents?: boolean
  /** Default false. */
  readonly append?: boolean
  /** Fail where the path exists. Default false. */
  readonly exclusive?: boolean
}

export interface Entry extends ReadPath {
  /** The last name of the path. */
  readonly name: string
  readonly kind: EntryKind
  readonly sizeBytes: number
  /** Permission bits (07777). */
  readonly mode: number
  readonly modifiedAt: Date
  /** Nanoseconds since 1970. */
  readonly mtimeNs: bigint
  readonly inode: bigint
  readonly links: number
  readonly symlinkTarget?: string
}

/**
 * The files of one sandbox's view, from outside; running or stopped. Symlinks are never followed. Calls reject
 * with `NotFoundError`, `PermissionDeniedError`, `AlreadyExistsError`, `InvalidArgumentError`,
 * `FailedPreconditionError` (a directory that is not empty) or `ResourceExhaustedError` (a full disk).
 */
export class Files {
  readonly #connection: Connection
  readonly #sandboxId: string

  constructor(connection: Connection, sandboxId: string) {
    this.#connection = connection
    this.#sandboxId = sandboxId
  }

  async read(path: ViewPath, options: ReadOptions = {}): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    for await (const chunk of this.readStream(path, options)) chunks.push(chunk)
    return Buffer.concat(chunks)
  }

  /** As UTF-8; what is not UTF-8 is replaced by U+FFFD. */
  async readText(path: ViewPath, options: ReadOptions = {}): Promise<string> {
    return textOf(await this.read(path, options))
  }

  /** In chunks, read no faster than they are taken. */
  async *readStream(path: ViewPath, options: ReadOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const request = {
      ...this.#request(path, options),
      offset: wholeNumber(options.offset ?? 0, 'offset'),
      length: wholeNumber(options.length ?? 0, 'length'),
    }
    if (options.length === 0) return
    for await (const { data } of this.#connection.serverStream(FileService.method.readFile, request, options)) {
      yield data
    }
  }

  /** All at once: who reads sees the old contents until this has resolved, or all of the new. */
  async write(
    path: ViewPath,
    data: string | Uint8Array | AsyncIterable<string | Uint8Array>,
    options: WriteOptions = {},
  ): Promise<Entry> {
    const start = {
      ...this.#request(path, options),
      mode: options.mode ?? 0,
      parents: options.parents ?? true,
      append: options.append ?? false,
      exclusive: options.exclusive ?? false,
    }
    return entryFromWire(
      await this.#connection.clientStream(FileService.method.writeFile, writeMessages(start, data), options),
    )
  }

  async stat(path: ViewPath, options: AsOption = {}): Promise<Entry> {
    return entryFromWire(
      await this.#connection.unary(FileService.method.statFile, this.#request(path, options), options),
    )
  }

  /** False for what the rules hide, too. */
  async exists(path: ViewPath, options: AsOption = {}): Promise<boolean> {
    try {
      await this.stat(path, options)
      return true
    } catch (error) {
      if (error instanceof NotFoundError) return false
      throw error
    }
  }

  /** The entries of a directory; with `recursive` of all below it. In no certain order. */
  async list(path: ViewPath = '', options: AsOption & { readonly recursive?: boolean } = {}): Promise<Entry[]> {
    const request = { ...this.#request(path, options), recursive: options.recursive ?? false }
    const entries: Entry[] = []
    for await (const batch of this.#connection.serverStream(FileService.method.listDirectory, request, options)) {
      for (const entry of batch.entries) entries.push(entryFromWire(entry))
    }
    return entries
  }

  /** With missing parents; a directory that is there is no error. `mode` defaults to 0o755. */
  async mkdir(path: ViewPath, options: AsOption & { readonly mode?: number } = {}): Promise<Entry> {
    const request = { ...this.#request(path, options), mode: options.mode ?? 0o755 }
    return entryFromWire(await this.#connection.unary(FileService.method.makeDirectory, request, options))
  }

  /** A directory with what is in it only with `recursive`. */
  async remove(path: ViewPath, options: AsOption & { readonly recursive?: boolean } = {}): Promise<void> {
    const request = { ...this.#request(path, options), recursive: options.recursive ?? false }
    await this.#connection.unary(FileService.method.removeFile, request, { ...options, deadlineMs: null })
  }

  /** Replaces what is at `to`, as rename(2). */
  async rename(from: ViewPath, to: ViewPath, options: AsOption = {}): Promise<void> {
    const { sandboxId, principal } = this.#request(from, options)
    const request = { sandboxId, principal, from: pathToWire(from, 'from'), to: pathToWire(to, 'to') }
    await this.#connection.unary(FileService.method.renameFile, request, options)
  }

  /**
   * What becomes of paths at and below one, until the loop is left or the signal fires. Nothing is left out: where
   * something cannot be told there is a `reset`, on which to look anew, and the first event is one unless there is a
   * cursor. Goes on by itself when the server was away. What programs write is told when the kernel sends it, at the
   * latest when they close the file.
   */
  watch(path: ViewPath = '', options: WatchFilesOptions = {}): AsyncGenerator<FileEvent, void, undefined> {
    return watchFiles(this.#connection, this.#sandboxId, path, options)
  }

  #request(path: ViewPath, options: AsOption) {
    return { sandboxId: this.#sandboxId, path: pathToWire(path), principal: principalOf(options.as) }
  }
}

function entryFromWire(entry: FileEntry): Entry {
  const path = textOf(entry.path)
  return {
    path,
    rawPath: entry.path,
    name: path.slice(path.lastIndexOf('/') + 1),
    kind: kindFromWire(entry.kind),
    sizeBytes: Number(entry.size),
    mode: entry.mode,
    modifiedAt: new Date(Number(entry.mtimeNs / 1_000_000n)),
    mtimeNs: entry.mtimeNs,
    inode: entry.inode,
    links: entry.links,
    ...(entry.kind === FileKind.SYMLINK ? { symlinkTarget: textOf(entry.symlinkTarget) } : {}),
  }
}

const WRITE_CHUNK_BYTES = 256 * 1024

type WriteMessage = MessageInitShape<typeof WriteFileRequestSchema>
type WriteStart = Extract<NonNullable<WriteMessage['message']>, { case: 'start' }>['value']

async function* writeMessages(
  start: WriteStart,
  data: string | Uint8Array | AsyncIterable<string | Uint8Array>,
): AsyncGenerator<WriteMessage> {
  yield { message: { case: 'start', value: start } }
  const pieces = typeof data === 'string' || data instanceof Uint8Array ? [data] : data
  for await (const piece of pieces) {
    const bytes = typeof piece === 'string' ? Buffer.from(piece, 'utf8') : piece
    for (let at = 0; at < bytes.length; at += WRITE_CHUNK_BYTES) {
      yield { message: { case: 'data', value: bytes.subarray(at, at + WRITE_CHUNK_BYTES) } }
    }
  }
}

function wholeNumber(value: number, option: string): bigint {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new InvalidArgumentError(`${option} must be a whole number of bytes, not ${String(value)}`, option)
  }
  return BigInt(value)
}
