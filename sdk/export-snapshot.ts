import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { SnapshotContent, SnapshotService } from '../proto/index.ts'
import { type AsOption, principalOf } from './as.ts'
import type { Connection } from './client/connection.ts'
import { CroftError, InvalidArgumentError, LocalFileError } from './errors.ts'
import { codeOf } from './upload/walk.ts'

export interface ExportOptions extends AsOption {
  /**
   * `view`: the whole tree as it is now. `delta`: what was created or modified, and what was deleted as
   * whiteouts in the form of OCI image layers. Default `view`.
   */
  readonly content?: 'view' | 'delta'
}

export interface ExportResult {
  readonly bytes: number
  /** Of the tar, in hex. */
  readonly sha256: string
}

/** The tar in chunks, read no faster than they are taken. */
export async function* exportStream(
  connection: Connection,
  sandboxId: string,
  options: ExportOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const content = contentOf(options.content)
  const request = { sandboxId, content, principal: principalOf(options.as) }
  for await (const { data } of connection.serverStream(SnapshotService.method.exportSnapshot, request, options)) {
    yield data
  }
}

/**
 * To a file, which appears under its name only when it is whole; or to a stream, which is ended. Rejects with
 * a `LocalFileError` where it cannot be written.
 */
export async function exportTo(tar: AsyncIterable<Uint8Array>, to: string | Writable): Promise<ExportResult> {
  return typeof to === 'string' ? await toFile(tar, to) : await toStream(tar, to)
}

function contentOf(content: ExportOptions['content']): SnapshotContent {
  if (content === undefined || content === 'view') return SnapshotContent.VIEW
  if (content === 'delta') return SnapshotContent.DELTA
  throw new InvalidArgumentError(`content is ${JSON.stringify(content)}; it must be view or delta`, 'content')
}

async function toFile(tar: AsyncIterable<Uint8Array>, path: string): Promise<ExportResult> {
  const temporary = `${path}.${process.pid}-${Math.floor(performance.now())}.part`
  const file = await open(temporary, 'wx', 0o600).catch((error: unknown) => {
    throw unwritable(path, error)
  })
  try {
    const result = await writeTo(file, tar).finally(() => file.close())
    await rename(temporary, path)
    return result
  } catch (error) {
    await rm(temporary, { force: true })
    throw error instanceof CroftError ? error : unwritable(path, error)
  }
}

async function writeTo(file: FileHandle, tar: AsyncIterable<Uint8Array>): Promise<ExportResult> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of tar) {
    hash.update(chunk)
    await file.writeFile(chunk)
    bytes += chunk.length
  }
  await file.sync()
  return { bytes, sha256: hash.digest('hex') }
}

async function toStream(tar: AsyncIterable<Uint8Array>, stream: Writable): Promise<ExportResult> {
  const hash = createHash('sha256')
  let bytes = 0
  // From now on, so that an error between two chunks is not an uncaught one.
  const over = finished(stream)
  over.catch(() => undefined)
  try {
    for await (const chunk of tar) {
      hash.update(chunk)
      bytes += chunk.length
      if (!stream.write(chunk)) await Promise.race([once(stream, 'drain'), over])
    }
    stream.end()
    await over
  } catch (error) {
    stream.destroy()
    throw error instanceof CroftError ? error : unwritable('the stream', error)
  }
  return { bytes, sha256: hash.digest('hex') }
}

function unwritable(path: string, error: unknown): LocalFileError {
  return new LocalFileError(path, `The snapshot cannot be written to ${path} (${codeOf(error)})`, { cause: error })
}
