import { createHash, randomBytes } from 'node:crypto'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ArchiveFile } from '../../fs-layer/archive/archive-file.ts'
import { codeOf } from '../../fs-layer/store/store-error.ts'
import { CroftError } from '../errors/croft-error.ts'

export interface IncomingFile extends ArchiveFile, AsyncDisposable {
  readonly sha256: Buffer
}

export interface IncomingOptions {
  readonly dir: string
  readonly maxBytes: number
  /** What to name where there are more. */
  readonly field: string
}

/**
 * What a client sends, on the disk, for it has to be read in another order. The name is ours, and gone as soon as the
 * file is open: what is left of it ends with the process.
 */
export async function receive(
  { dir, maxBytes, field }: IncomingOptions,
  chunks: AsyncIterable<Uint8Array>,
): Promise<IncomingFile> {
  const path = join(dir, randomBytes(8).toString('hex'))
  const handle = await open(path, 'wx+', 0o600)
  try {
    await rm(path)
    const hash = createHash('sha256')
    let size = 0
    for await (const chunk of chunks) {
      size += chunk.length
      if (size > maxBytes) {
        throw new CroftError('RESOURCE_EXHAUSTED', `${field} is over the limit of ${maxBytes} bytes`, { field })
      }
      hash.update(chunk)
      await write(handle, chunk)
    }
    return { handle, size, sha256: hash.digest(), [Symbol.asyncDispose]: () => handle.close() }
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function write(handle: ArchiveFile['handle'], chunk: Uint8Array): Promise<void> {
  try {
    await handle.writeFile(chunk)
  } catch (error) {
    if (!['ENOSPC', 'EDQUOT'].includes(codeOf(error) ?? '')) throw error
    const text = 'no room left on the disk of the server for what is sent; make room and try again'
    throw new CroftError('RESOURCE_EXHAUSTED', text, { cause: error })
  }
}
