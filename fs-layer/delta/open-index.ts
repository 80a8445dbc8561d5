import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Level } from 'level'

export type Index = Level<Buffer, Buffer>

/** The LevelDB of the delta in a directory, made where there is none. */
export async function openIndex(dir: string): Promise<Index> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const index: Index = new Level(join(dir, 'index'), {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    // A delta is one of hundreds in this process; the defaults would take 12 MiB each.
    writeBufferSize: 1 << 20,
    cacheSize: 1 << 20,
    maxOpenFiles: 32,
  })
  await index.open()
  return index
}
