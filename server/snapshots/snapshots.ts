import type { Folded } from '../../fs-layer/store/fold.ts'
import type { Store } from '../../fs-layer/store/store.ts'
import { type Caller, sees } from '../access/caller.ts'
import { ownerIn } from '../access/owner-of.ts'
import type { Quotas } from '../access/quotas.ts'
import { checkText } from '../codebases/codebases.ts'
import type { Serial } from '../concurrency/serial.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, notFound } from '../errors/croft-error.ts'
import { checkId, newId } from '../records/ids.ts'
import { originOf } from '../records/origin.ts'
import type { Page } from '../records/page.ts'
import type { SandboxRecord, SnapshotRecord } from '../records/record-types.ts'
import type { Records } from '../records/records.ts'
import { namesOf, snapshotRoots } from '../records/root-names.ts'

export interface SnapshotsDependencies {
  readonly store: Store
  readonly records: Records
  readonly serial: Serial
  readonly quotas: Pick<Quotas, 'check' | 'reserve'>
  readonly nowMs: () => number
}

export interface SnapshotFilter {
  /** What is empty matches all. */
  readonly sandboxId: string
  readonly codebaseId: string
  readonly name: string
}

/**
 * Versions that are kept for somebody who may want them again. The record says of what and when; a root name in the
 * store keeps the version, also from a collector.
 */
export class Snapshots {
  readonly #limits: Limits
  readonly #parts: SnapshotsDependencies

  constructor(options: { limits: Limits }, dependencies: SnapshotsDependencies) {
    this.#limits = options.limits
    this.#parts = dependencies
  }

  /** Throws where one of that name could not be kept: before the work is done. */
  checkNew(name: string, of: Pick<SandboxRecord, 'owner' | 'codebaseId'>): void {
    checkText(name, 'name', this.#limits.maxNameBytes)
    const { quotas, records } = this.#parts
    quotas.check(ownerIn(of, records), { snapshots: 1 })
    if (records.snapshots.size < this.#limits.maxSnapshots) return
    throw new CroftError('RESOURCE_EXHAUSTED', `there are ${this.#limits.maxSnapshots} snapshots, which is the limit`)
  }

  async keep(
    of: SandboxRecord,
    folded: Folded,
    spec: Pick<SnapshotRecord, 'name' | 'labels' | 'madeBy'>,
  ): Promise<SnapshotRecord> {
    this.checkNew(spec.name, of)
    const { store, records, quotas, nowMs } = this.#parts
    const id = newId('snap')
    const { hash, root, skipped } = folded
    const origin = originOf(of)
    const owner = ownerIn(of, records)
    const source = { owner, sandboxId: of.id, codebaseId: of.codebaseId, base: of.base, origin, rules: of.rules }
    using _ = quotas.reserve(owner, { snapshots: 1, bytes: root.bytes })
    const contents = { root: hash, bytes: root.bytes, files: root.files, skipped }
    const sequence = records.snapshots.nextSequence()
    const record: SnapshotRecord = { ...spec, ...source, ...contents, id, sequence, createdAtMs: nowMs() }
    await store.setRoots(snapshotRoots(record))
    return await records.snapshots.put(record)
  }

  /** Throws NOT_FOUND, or INVALID_ARGUMENT naming the field. */
  get(id: string, field = 'snapshot_id'): SnapshotRecord {
    const record = this.#parts.records.snapshots.get(checkId('snap', id, field))
    if (record === undefined) throw notFound('snapshot', id)
    return record
  }

  list(
    { sandboxId, codebaseId, name }: SnapshotFilter,
    pageSize: number,
    pageToken: string,
    caller: Caller,
  ): Page<SnapshotRecord> {
    if (sandboxId !== '') checkId('sb', sandboxId, 'sandbox_id')
    if (codebaseId !== '') checkId('cb', codebaseId, 'codebase_id')
    const { pageSizeDefault: defaultSize, pageSizeMax: maxSize } = this.#limits
    return this.#parts.records.snapshots.page(
      { pageSize, pageToken, defaultSize, maxSize },
      (record) =>
        (sandboxId === '' || record.sandboxId === sandboxId) &&
        (codebaseId === '' || record.codebaseId === codebaseId) &&
        (name === '' || record.name === name) &&
        sees(caller, ownerIn(record, this.#parts.records)),
    )
  }

  /** Those for which `matches`. */
  select(matches: (record: SnapshotRecord) => boolean): SnapshotRecord[] {
    return [...this.#parts.records.snapshots.values()].filter(matches)
  }

  /** Work that needs it to be there until its end. */
  use<T>(id: string, work: (record: SnapshotRecord) => Promise<T>): Promise<T> {
    return this.#parts.serial.run(checkId('snap', id, 'snapshot_id'), () => work(this.get(id)))
  }

  delete(id: string): Promise<void> {
    const { records, store } = this.#parts
    return this.use(id, async (record) => {
      await records.snapshots.delete(id)
      await store.deleteRoot(...namesOf(snapshotRoots(record)))
    })
  }
}
