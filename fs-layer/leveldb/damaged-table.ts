import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { maskedCrc32c } from './crc32c.ts'
import { readManifest } from './manifest.ts'
import { unsnapped } from './snappy.ts'
import { Cursor } from './varint.ts'

/** LevelDB, doc/table_format.md: blocks, each with a type and a checksum behind it, and a footer that leads to them. */
const FOOTER_BYTES = 48
const MAGIC = 0xdb4775248b80fb57n
const TRAILER_BYTES = 5
const SNAPPY = 1

interface Handle {
  readonly offset: number
  readonly size: number
}

/**
 * A table of a database that is not as it was written, and where; null where all are. LevelDB's binding has no way to
 * ask that checksums be compared when tables are read.
 */
export function damagedTable(dir: string): { path: string; reason: string } | null {
  for (const number of readManifest(dir)?.tables ?? []) {
    const path = join(dir, `${String(number).padStart(6, '0')}.ldb`)
    // One that is gone LevelDB misses itself.
    if (!existsSync(path)) continue
    try {
      checkTable(readFileSync(path))
    } catch (error) {
      return { path, reason: error instanceof Error ? error.message : String(error) }
    }
  }
  return null
}

function checkTable(table: Buffer): void {
  const footer = table.subarray(-FOOTER_BYTES)
  if (footer.length < FOOTER_BYTES || footer.readBigUInt64LE(FOOTER_BYTES - 8) !== MAGIC)
    throw new RangeError('it does not end as a table does')
  const cursor = new Cursor(footer)
  const [meta, index] = [handleAt(cursor), handleAt(cursor)]
  for (const handle of [...handlesIn(blockAt(table, meta)), ...handlesIn(blockAt(table, index))])
    checkBlock(table, handle)
}

function checkBlock(table: Buffer, { offset, size }: Handle): void {
  const end = offset + size
  if (end + TRAILER_BYTES > table.length) throw new RangeError(`a block at byte ${offset} is beyond its end`)
  if (maskedCrc32c(table.subarray(offset, end + 1)) !== table.readUInt32LE(end + 1))
    throw new RangeError(`the block at byte ${offset} has another checksum`)
}

function blockAt(table: Buffer, handle: Handle): Buffer {
  checkBlock(table, handle)
  const end = handle.offset + handle.size
  const bytes = table.subarray(handle.offset, end)
  return table.readUInt8(end) === SNAPPY ? unsnapped(bytes) : bytes
}

/** The values of a block whose values are handles. */
function handlesIn(block: Buffer): Handle[] {
  const restarts = block.readUInt32LE(block.length - 4)
  const entries = new Cursor(block.subarray(0, block.length - 4 - 4 * restarts))
  const handles: Handle[] = []
  while (!entries.atEnd) {
    entries.varint()
    const keyBytes = entries.varint()
    const valueBytes = entries.varint()
    entries.bytes(keyBytes)
    handles.push(handleAt(new Cursor(entries.bytes(valueBytes))))
  }
  return handles
}

function handleAt(cursor: Cursor): Handle {
  return { offset: cursor.varint(), size: cursor.varint() }
}
