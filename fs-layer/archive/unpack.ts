import type { Hash, Root } from '../store/objects.ts'
import type { Store } from '../store/store.ts'
import { applyPatch } from './apply-patch.ts'
import { ArchiveError } from './archive-error.ts'
import { type ArchiveFile, chunksAt, readAt } from './archive-file.ts'
import { ByteReader } from './byte-reader.ts'
import { compressionOf, decompressed } from './decompress.ts'
import { Intake } from './intake.ts'
import { Meter, type UnpackLimits } from './meter.ts'
import { readImage } from './read-image.ts'
import { isTarHeader, readTar } from './read-tar.ts'
import { readZip } from './read-zip.ts'

export type UnpackFormat = 'tar' | 'zip' | 'oci-layer' | 'oci-image' | 'patch'

export interface UnpackOptions extends UnpackLimits {
  /** What a layer or a patch is added to; of other forms the empty version. */
  readonly base: Hash
  readonly maxFileBytes: number
  readonly architecture: string
  /** Of what a patch changes, in seconds since 1970. */
  readonly mtime: number
}

/** What it is by its first bytes. A layer is a tar too: who means one says so. */
export async function formatOf(file: ArchiveFile): Promise<UnpackFormat> {
  const head = await readAt(file, 0, Math.min(file.size, 512))
  if (head.length >= 4 && [0x04034b50, 0x06054b50].includes(head.readUInt32LE(0))) return 'zip'
  if (compressionOf(head) !== 'none') return 'tar'
  if (!isTarHeader(head)) throw new ArchiveError('unsupported', 'It is neither a tar nor a zip')
  return /^(?:\.\/)?oci-layout\0/.test(head.toString('latin1')) ? 'oci-image' : 'tar'
}

/**
 * Makes a version of an archive. Memory grows with its entries and not with their contents. When it rejects, nothing
 * refers to what was put.
 *
 * @throws {ArchiveError} of the archive; {StoreError} of a name that cannot be, or of the store
 */
export async function unpack(
  file: ArchiveFile,
  format: UnpackFormat,
  options: UnpackOptions,
  { store }: { store: Store },
): Promise<{ hash: Hash; root: Root }> {
  const { base, maxEntries, maxFileBytes, architecture } = options
  const meter = new Meter(options)
  await using intake = new Intake({ base, maxEntries, maxFileBytes, meter }, { store })
  const takeTar = async (source: AsyncIterable<Buffer>, form: 'plain' | 'layer') => {
    const chunks = source[Symbol.asyncIterator]()
    const head = (await chunks.next()).value as Buffer | undefined
    const compression = compressionOf(head ?? Buffer.alloc(0))
    await using reader = new ByteReader(decompressed(followedBy(head, chunks), compression, meter))
    for await (const entry of readTar(reader)) {
      await intake.add(entry, form)
    }
    // What follows the end is nothing of ours, but a sum may come at the end of the stream.
    for (let rest = await reader.peek(REST); rest.length > 0; rest = await reader.peek(REST))
      await reader.read(rest.length)
  }
  switch (format) {
    case 'patch': {
      if (file.size > MAX_PATCH_BYTES) throw new ArchiveError('limit', `A patch of more than ${MAX_PATCH_BYTES} bytes`)
      meter.packed(file.size)
      const patch = (await readAt(file, 0, file.size)).toString('latin1')
      return await applyPatch(patch, { base, maxEntries, meter, mtime: options.mtime }, { store })
    }
    case 'tar':
      await takeTar(chunksAt(file), 'plain')
      break
    case 'oci-layer':
      await takeTar(chunksAt(file), 'layer')
      break
    case 'zip':
      for await (const entry of readZip(file, meter)) await intake.add(entry, 'plain')
      break
    case 'oci-image':
      for (const { read } of (await readImage(file, { architecture, maxEntries })).layers) {
        intake.beginLayer()
        await takeTar(read(), 'layer')
      }
  }
  return await intake.finish()
}

/** A patch is read as a whole. */
const MAX_PATCH_BYTES = 64 * 1024 * 1024
/** Read at once, and thrown away. */
const REST = 64 * 1024

async function* followedBy(head: Buffer | undefined, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  try {
    if (head !== undefined) yield head
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value
  } finally {
    await rest.return?.()
  }
}
