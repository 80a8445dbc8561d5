import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { NodeId } from '../protocol/filesystem.ts'
import { backingPath } from './backing-files.ts'
import { IN_FILE } from './inode.ts'
import type { Index } from './open-index.ts'
import type { Operation } from './operations.ts'
import { decodeInode, decodeMeta, encodeMeta, META_KEY, type Meta, parseKey } from './record.ts'
import { writeBatch } from './write-batch.ts'

/**
 * Writes what a thread had answered and not written when it died, as one batch, synced. What was durable elsewhere may
 * have moved to files of their own in these records: those are synced before, as for every batch.
 */
export async function replay(
  operations: readonly Operation[],
  meta: Meta,
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
  const records = operations.filter(({ key }) => !key.equals(META_KEY))
  await writeBatch(index, [{ type: 'put', key: META_KEY, value: encodeMeta(meta) }, ...records], { sync: true })
}

/** Numbers below it may have been given out; 0 where the records tell of none. */
export function nextNodeOf(operations: readonly Operation[]): NodeId {
  let next = 0
  for (const operation of operations) {
    const parsed = parseKey(operation.key)
    if (parsed.kind === 'inode') next = Math.max(next, parsed.node + 1)
    else if (parsed.kind === 'meta' && operation.type === 'put')
      next = Math.max(next, decodeMeta(operation.value).nextNode)
  }
  return next
}

async function sync(path: string, flags: number): Promise<void> {
  await using file = await open(path, flags, 0o600)
  await file.sync()
}
