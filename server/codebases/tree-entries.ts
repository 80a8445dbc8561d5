import { HASH_BYTES } from '../../fs-layer/store/hash.ts'
import type { TreeBuilder } from '../../fs-layer/store/tree-builder.ts'
import type { PutTreeRequest_Entry } from '../../proto/index.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import type { MissingBlobs, WantedBlob } from './missing-blobs.ts'

export interface EntryTargets {
  readonly builder: TreeBuilder
  readonly missing: MissingBlobs
  readonly limits: Limits
}

/** Puts one message's entries into the tree. Paths, names, modes and links are checked by the builder. */
export async function addEntries(
  entries: readonly PutTreeRequest_Entry[],
  { builder, missing, limits }: EntryTargets,
): Promise<void> {
  const files: (WantedBlob & { field: string })[] = []
  entries.forEach((entry, index) => {
    const path = Buffer.from(entry.path).toString('latin1')
    const attributes = { path, mode: entry.mode, ...timeOf(entry.mtimeNs) }
    const { kind } = entry
    switch (kind.case) {
      case 'file': {
        const file = { size: sizeOf(kind.value.size, index, limits), hash: hashOf(kind.value.sha256, index) }
        builder.add({ kind: 'file', ...attributes, ...file })
        files.push({ ...file, field: `entries[${index}].file` })
        return
      }
      case 'directory':
        builder.add({ kind: 'directory', ...attributes })
        return
      case 'symlinkTarget':
        builder.add({ kind: 'symlink', ...attributes, target: Buffer.from(kind.value).toString('latin1') })
        return
      case undefined:
        throw invalid(`entries[${index}].kind`, 'is missing')
    }
  })
  await missing.note(files)
}

const NS = 1_000_000_000n

function timeOf(mtimeNs: bigint): { mtime: number; mtimeNsec: number } {
  const nsec = ((mtimeNs % NS) + NS) % NS
  return { mtime: Number((mtimeNs - nsec) / NS), mtimeNsec: Number(nsec) }
}

function sizeOf(size: bigint, index: number, limits: Limits): number {
  const field = `entries[${index}].file.size`
  if (size < 0n) throw invalid(field, 'must not be negative')
  if (size > BigInt(limits.maxUploadBytes)) {
    throw new CroftError('RESOURCE_EXHAUSTED', `${field} is over the limit of ${limits.maxUploadBytes} bytes`, {
      field,
    })
  }
  return Number(size)
}

function hashOf(sha256: Uint8Array, index: number): string {
  if (sha256.length !== HASH_BYTES) throw invalid(`entries[${index}].file.sha256`, `must have ${HASH_BYTES} bytes`)
  return Buffer.from(sha256).toString('hex')
}
