import type { FileHandle } from 'node:fs/promises'
import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { type Contents, readContents } from './contents.ts'
import { openBelow, type Places } from './place.ts'
import { indexTar, type Member, read } from './tar-index.ts'
import { tarEnd, tarHeader, tarPadding } from './tar-write.ts'

export interface ArchivePlaces extends Places {
  /** Of all layers of one image, unpacked: an engine has no limit of its own, and its disk is the host's. */
  readonly maxImageBytes: number
}

/** An archive that was looked through and can be handed to an engine. */
export interface ImageArchive {
  readonly id: string
  /** As `docker save` writes it, with no name: an archive is to change no name that the engine knows. */
  read(signal: AbortSignal | undefined): Readable
  /** What became of reading it, where that failed. */
  fault(): string | undefined
  close(): Promise<void>
}

/**
 * An archive of either form. The engine is given neither the file nor what the file says of paths: only the
 * configuration and the layers, unpacked and counted here. What is in a layer the engine compares with what the
 * configuration says, and unpacks as it does those of a registry. Rejects with what is wrong, beginning with the path.
 */
export async function openImageArchive(path: string, places: ArchivePlaces): Promise<ImageArchive> {
  const file = await openBelow(path, places)
  try {
    const contents = await readContents(file, await indexTar(file))
    const sizes = await unpackedSizes(file, contents.layers, places.maxImageBytes)
    let fault: string | undefined
    return {
      id: contents.id,
      read: (signal) =>
        Readable.from(
          (async function* () {
            try {
              yield* saved(file, contents, sizes)
            } catch (error) {
              fault = messageOf(error)
              throw error
            }
          })(),
          { objectMode: false, ...(signal === undefined ? {} : { signal }) },
        ),
      fault: () => fault,
      close: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw new Error(`${path} ${messageOf(error)}`, { cause: error })
  }
}

/** Counted before anything is sent: a header says beforehand how much comes, and a bomb is not sent at all. */
async function unpackedSizes(file: FileHandle, layers: readonly Member[], maxBytes: number): Promise<number[]> {
  const sizes: number[] = []
  let left = maxBytes
  for (const layer of layers) {
    let bytes = 0
    const isPacked = await isGzip(file, layer)
    if (!isPacked) bytes = layer.bytes
    else {
      for await (const piece of unpacked(file, layer)) {
        bytes += piece.length
        if (bytes > left) break
      }
    }
    left -= bytes
    if (left < 0) throw new Error(`unpacks to more than ${maxBytes} bytes, which is the limit \`maxImageBytes\``)
    sizes.push(bytes)
  }
  return sizes
}

async function* saved(
  file: FileHandle,
  { config, layers }: Contents,
  sizes: readonly number[],
): AsyncGenerator<Buffer> {
  const names = layers.map((_, index) => `${index}.tar`)
  const manifest = Buffer.from(JSON.stringify([{ Config: 'config.json', RepoTags: null, Layers: names }]))
  yield* member('manifest.json', manifest)
  yield* member('config.json', config)
  for (const [index, layer] of layers.entries()) {
    const size = sizes[index] ?? 0
    yield tarHeader(names[index] ?? '', size)
    let sent = 0
    for await (const piece of unpacked(file, layer)) {
      sent += piece.length
      if (sent > size) break
      yield piece
    }
    if (sent !== size) throw new Error('changed while it was read')
    yield tarPadding(size)
  }
  yield tarEnd()
}

function* member(name: string, content: Buffer): Generator<Buffer> {
  yield tarHeader(name, content.length)
  yield content
  yield tarPadding(content.length)
}

async function* unpacked(file: FileHandle, layer: Member): AsyncGenerator<Buffer> {
  if (!(await isGzip(file, layer))) {
    yield* packed(file, layer)
    return
  }
  const gunzip = createGunzip()
  // What goes wrong is thrown by the one that is read, which takes the other along when it is left.
  pipeline(Readable.from(packed(file, layer), { objectMode: false }), gunzip, () => undefined)
  try {
    yield* gunzip as AsyncIterable<Buffer>
  } catch (error) {
    const isDamaged = (error as NodeJS.ErrnoException).code?.startsWith('Z_') === true
    throw isDamaged ? new Error('is damaged: a layer cannot be unpacked') : error
  }
}

/** Not a stream of the file's: one that is left would close the file. */
async function* packed(file: FileHandle, { at, bytes }: Member): AsyncGenerator<Buffer> {
  for (let done = 0; done < bytes; done += PIECE_BYTES) yield read(file, at + done, Math.min(PIECE_BYTES, bytes - done))
}

const PIECE_BYTES = 256 << 10

async function isGzip(file: FileHandle, { at, bytes }: Member): Promise<boolean> {
  const magic = await read(file, at, Math.min(bytes, 4))
  if (magic.equals(ZSTD)) throw new Error('has layers that are packed with zstd: save it with gzip')
  return magic[0] === 0x1f && magic[1] === 0x8b
}

const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
