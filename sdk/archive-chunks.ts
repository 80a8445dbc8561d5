import { createReadStream } from 'node:fs'
import { LocalFileError } from './errors.ts'
import { codeOf } from './upload/walk.ts'

/** Under what gRPC clients take as one message, whatever the source gives. */
const CHUNK_BYTES = 256 * 1024

/** An archive in a file, or in a stream, in pieces that fit into a message. Rejects with a `LocalFileError`. */
export async function* archiveChunks(from: string | AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of typeof from === 'string' ? readingFile(from) : from) {
    for (let at = 0; at < chunk.length; at += CHUNK_BYTES) yield chunk.subarray(at, at + CHUNK_BYTES)
  }
}

async function* readingFile(path: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) yield chunk as Buffer
  } catch (error) {
    throw unreadable(path, error)
  }
}

export function unreadable(path: string, error: unknown): LocalFileError {
  return new LocalFileError(path, `The archive ${path} cannot be read (${codeOf(error)})`, { cause: error })
}
