import { crc32, createDeflateRaw, deflateRawSync } from 'node:zlib'
import { through } from './compress.ts'
import { gathered } from './gathered.ts'
import type { ArchiveItem } from './items.ts'
import { type ArchiveSource, contentsOf, itemsOf } from './write.ts'
import {
  centralHeader,
  DEFLATED,
  dataDescriptor,
  localHeader,
  ROOT_COMMENT,
  STORED,
  type Written,
  type ZipEntry,
  zipEnd,
} from './zip-format.ts'

/**
 * A zip with Unix modes and links, times to the nanosecond in a field of our own, and names in the bytes that they have.
 * The items are gone through twice, and between the two 24 bytes are kept of each.
 */
export function writeZip(source: ArchiveSource): AsyncGenerator<Buffer> {
  return gathered(pieces(source))
}

/** Up to so many bytes are deflated at once: a stream of its own for each small file would cost more than that. */
const WHOLE_BYTES = 16 * 1024

async function* pieces(source: ArchiveSource): AsyncGenerator<Buffer> {
  const written: Written[] = []
  let comment = Buffer.alloc(0)
  let at = 0
  for await (const item of itemsOf(source)) {
    if (item.path === '') {
      comment = commentOf(item)
      continue
    }
    const offset = at
    let result: Omit<Written, 'offset'> | undefined
    for await (const piece of entryPieces(source, item, (known) => {
      result = known
    })) {
      at += piece.length
      yield piece
    }
    written.push({ ...(result as Omit<Written, 'offset'>), offset })
  }
  const start = at
  let index = 0
  for await (const item of itemsOf(source)) {
    const { path, entry } = item
    if (path === '') continue
    const known = written[index++] as Written
    const method = entry.kind === 'file' && entry.size > 0 ? DEFLATED : STORED
    const header = { ...headOf(item), method, ...(isWhole(item) ? { known } : {}) }
    const piece = centralHeader(header, known)
    at += piece.length
    yield piece
  }
  yield zipEnd(written.length, start, at - start, comment)
}

async function* entryPieces(
  source: ArchiveSource,
  item: ArchiveItem,
  done: (result: Omit<Written, 'offset'>) => void,
): AsyncGenerator<Buffer> {
  const { entry } = item
  const head = headOf(item)
  if (entry.kind !== 'file' || entry.size === 0 || isWhole(item)) {
    const contents = entry.kind === 'file' ? await whole(contentsOf(source, entry)) : linkTarget(item)
    const data = entry.kind === 'file' && entry.size > 0 ? deflateRawSync(contents) : contents
    const known = { crc: crc32(contents), compressed: data.length }
    done(known)
    const method = data === contents ? STORED : DEFLATED
    yield localHeader({ ...head, method, known })
    yield data
    return
  }
  const streamed: ZipEntry = { ...head, method: DEFLATED }
  yield localHeader(streamed)
  let crc = 0
  let compressed = 0
  async function* counted() {
    for await (const chunk of contentsOf(source, entry as Extract<typeof entry, { kind: 'file' }>)) {
      crc = crc32(chunk, crc)
      yield chunk
    }
  }
  for await (const chunk of through(counted(), createDeflateRaw())) {
    compressed += chunk.length
    yield chunk
  }
  done({ crc, compressed })
  yield dataDescriptor(streamed, { crc, compressed })
}

function headOf({ path, entry }: ArchiveItem): Pick<ZipEntry, 'name' | 'entry' | 'size'> {
  const name = Buffer.from(entry.kind === 'directory' ? `${path}/` : path, 'latin1')
  const size = entry.kind === 'file' ? entry.size : entry.kind === 'symlink' ? entry.target.length : 0
  return { name, entry, size }
}

/** Whose header is written when all is known. */
function isWhole({ entry }: ArchiveItem): boolean {
  return entry.kind !== 'file' || entry.size <= WHOLE_BYTES
}

function linkTarget({ entry }: ArchiveItem): Buffer {
  return Buffer.from(entry.kind === 'symlink' ? entry.target : '', 'latin1')
}

async function whole(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}

function commentOf({ entry: { mode, mtime, mtimeNsec } }: ArchiveItem): Buffer<ArrayBuffer> {
  return Buffer.from(`${ROOT_COMMENT} ${mode.toString(8)} ${mtime} ${mtimeNsec}`)
}
