import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { backingPath } from './backing-files.ts'
import type { Operation } from './batch.ts'
import { IN_FILE } from './inode.ts'
import type { Index } from './open-index.ts'
import { decodeInode, parseKey } from './record.ts'

/**
 * Writes what a thread had answered and not written when it died, as one batch, synced. What was durable elsewhere may
 * have moved to files of their own in these records: those are synced before, as for every batch.
 */
export async function replay(
  operations: readonly Operation[],
  { dir, index }: { dir: string; index: Index },
): Promise<void> {
  const directories = new Set([dir, join(dir, 'files')])
  for (const operation of operations) {
    const key = parseKey(operation.key)
    if (key.kind !== 'inode' || operation.type !== 'put') continue
    if (decodeInode(key.node, null, operation.value).place !== IN_FILE) continue
    const path = backingPath(dir, key.node)
    await sync(path, constants.O_RDWR | constants.O_CREAT)
    directories.add(dirname(path))
  }
  if (directories.size > 2) for (const directory of directories) await sync(directory, constants.O_RDONLY)
  await index.batch([...operations], { sync: true })
}

async function sync(path: string, flags: number): Promise<void> {
  await using file = await open(path, flags, 0o600)
  await file.sync()
}
