import type { Writable } from 'node:stream'
import { SnapshotService, type Snapshot as WireSnapshot } from '../proto/index.ts'
import type { Connection } from './client/connection.ts'
import { dateFrom } from './durations.ts'
import { type ArchiveOptions, archive } from './export.ts'
import { type ExportResult, exportTo } from './export-snapshot.ts'

export type SnapshotId = `snap_${string}`

/** A view as it was at one moment. It stays until it is deleted, whatever becomes of its sandbox and codebase. */
export interface Snapshot {
  readonly id: SnapshotId
  /** Empty where it was given none. */
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Of which it is, whether it still exists or not. */
  readonly sandboxId: string
  readonly codebaseId: string
  /** SHA-256 of its root, in hex. */
  readonly rootHash: string
  /** Of what the sandbox was based on. */
  readonly baseRootHash: string
  /** Of the version of the codebase of which it is a change, also by way of forks and restored snapshots. */
  readonly originRootHash: string
  /** Bytes of all files. */
  readonly sizeBytes: number
  /** Files and links. */
  readonly files: number
  readonly createdAt?: Date
  /** FIFOs and sockets, which are not in it. */
  readonly skipped: number
}

export interface SnapshotOptions {
  readonly name?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

export interface SnapshotFilter {
  readonly sandboxId?: string
  readonly codebaseId?: string
  readonly name?: string
  readonly signal?: AbortSignal
}

/** Which codebase gets the snapshot as its version: one that exists, or a new one. */
export type PublishTarget =
  | { readonly codebaseId: string; readonly name?: undefined }
  | { readonly name: string; readonly ownerId?: string; readonly codebaseId?: undefined }

/** The snapshots that a server keeps. */
export class Snapshots {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** In the order in which they were made. */
  async list({ signal, ...filter }: SnapshotFilter = {}): Promise<Snapshot[]> {
    const found: Snapshot[] = []
    let pageToken = ''
    do {
      const request = { ...filter, pageToken }
      const page = await this.#connection.unary(SnapshotService.method.listSnapshots, request, { signal })
      found.push(...page.snapshots.map(snapshotFromWire))
      pageToken = page.nextPageToken
    } while (pageToken !== '')
    return found
  }

  /** Rejects with a `NotFoundError` if it is gone. */
  async get(id: string): Promise<Snapshot> {
    return snapshotFromWire(await this.#connection.unary(SnapshotService.method.getSnapshot, { snapshotId: id }))
  }

  /** What was made of it stays. Rejects with a `NotFoundError` if it is gone. */
  async delete(id: string): Promise<void> {
    await this.#connection.unary(SnapshotService.method.deleteSnapshot, { snapshotId: id })
  }

  /** As `sandbox.export`, of what was kept. Where the sandbox and its rules are gone, only `as: 'owner'`. */
  export(id: string, options: ArchiveOptions & { readonly to: string | Writable }): Promise<ExportResult>
  export(id: string, options?: ArchiveOptions & { readonly to?: undefined }): AsyncIterable<Uint8Array>
  export(
    id: string,
    options: ArchiveOptions & { readonly to?: string | Writable | undefined } = {},
  ): Promise<ExportResult> | AsyncIterable<Uint8Array> {
    const pieces = archive(this.#connection, { case: 'snapshotId', value: id }, options)
    return options.to === undefined ? pieces : exportTo(pieces, options.to)
  }

  /** Makes it the version of a codebase, whose id is returned. Sandboxes that it has keep the version they are on. */
  async publish(id: string, target: PublishTarget): Promise<string> {
    const { codebaseId = '', name = '' } = target
    const ownerId = 'ownerId' in target ? target.ownerId : ''
    const request = { snapshotId: id, codebaseId, name, ownerId: ownerId ?? '' }
    return (await this.#connection.unary(SnapshotService.method.publishSnapshot, request, NO_DEADLINE)).id
  }
}

/** Their time goes with what was changed. */
const NO_DEADLINE = { deadlineMs: null }

export async function createSnapshot(
  connection: Connection,
  sandboxId: string,
  { name = '', labels = {}, signal }: SnapshotOptions,
): Promise<Snapshot> {
  const request = { sandboxId, name, labels: { ...labels } }
  const call = { ...NO_DEADLINE, signal }
  return snapshotFromWire(await connection.unary(SnapshotService.method.createSnapshot, request, call))
}

function snapshotFromWire(snapshot: WireSnapshot): Snapshot {
  const createdAt = dateFrom(snapshot.createdAt)
  return {
    id: snapshot.id as SnapshotId,
    name: snapshot.name,
    labels: snapshot.labels,
    sandboxId: snapshot.sandboxId,
    codebaseId: snapshot.codebaseId,
    rootHash: Buffer.from(snapshot.rootHash).toString('hex'),
    baseRootHash: Buffer.from(snapshot.baseRootHash).toString('hex'),
    originRootHash: Buffer.from(snapshot.originRootHash).toString('hex'),
    sizeBytes: Number(snapshot.size),
    files: Number(snapshot.fileCount),
    skipped: Number(snapshot.skipped),
    ...(createdAt === undefined ? {} : { createdAt }),
  }
}
