import { join } from 'node:path'
import { Level } from 'level'
import { makeDirectory } from './make-directory.ts'
import { type CutOff, mendIndex } from './mend-index.ts'

export type Index = Level<Buffer, Buffer>

/** Opens the LevelDB of a delta, making it where there is none. */
export async function openIndex(dir: string): Promise<{ index: Index; cut: CutOff | null }> {
  makeDirectory(dir)
  const path = join(dir, 'index')
  const cut = mendIndex(path)
  const index: Index = new Level(path, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    // A delta is one of hundreds in this process; the defaults would take 12 MiB each.
    writeBufferSize: 1 << 20,
    cacheSize: 1 << 20,
    maxOpenFiles: 32,
  })
  await index.open()
  return { index, cut }
}
