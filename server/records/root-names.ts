import type { Hash } from '../../fs-layer/store/objects.ts'
import { originOf } from './origin.ts'
import type { CheckpointRecord, CodebaseRecord, SandboxRecord, SnapshotRecord } from './record-types.ts'

/** A name in the store that keeps a version, and all that is in it. */
export type RootName = readonly [name: string, hash: Hash]

export function codebaseRoots({ id, root }: Pick<CodebaseRecord, 'id' | 'root'>): RootName[] {
  return [[`codebase/${id}`, root]]
}

/** Another name each time a version was restored, so that the one is kept until the other is. */
export function sandboxRoots(record: Pick<SandboxRecord, 'id' | 'base' | 'origin' | 'restored'>): RootName[] {
  const { id, base, origin, restored = 0 } = record
  const name = restored === 0 ? `sandbox/${id}` : `sandbox/${id}.${restored}`
  return origin === undefined
    ? [[name, base]]
    : [
        [name, base],
        [`${name}/origin`, origin],
      ]
}

export function snapshotRoots(record: Pick<SnapshotRecord, 'id' | 'root' | 'base' | 'origin'>): RootName[] {
  return [
    [`snapshot/${record.id}`, record.root],
    [`snapshot/${record.id}/origin`, originOf(record)],
  ]
}

export function checkpointRoots({ id, root }: Pick<CheckpointRecord, 'id' | 'root'>): RootName[] {
  return [[`checkpoint/${id}`, root]]
}

/** What is being exported. Those of no job that is on record went with the server that had them. */
export function heldRoots(key: string, version: Hash, since: Hash | null): RootName[] {
  const [name, sinceName] = heldNames(key)
  return since === null
    ? [[name, version]]
    : [
        [name, version],
        [sinceName, since],
      ]
}

export function heldNames(key: string): [version: string, since: string] {
  return [`export/${key}`, `export/${key}/since`]
}

export function namesOf(roots: readonly RootName[]): string[] {
  return roots.map(([name]) => name)
}
