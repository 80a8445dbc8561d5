import { fold } from '../../fs-layer/store/fold.ts'
import type { Store } from '../../fs-layer/store/store.ts'
import type { Serial } from '../concurrency/serial.ts'
import type { Limits } from '../config/limits.ts'
import { notFound } from '../errors/croft-error.ts'
import { checkId, newId } from '../records/ids.ts'
import type { CheckpointRecord, SandboxRecord } from '../records/record-types.ts'
import type { Records } from '../records/records.ts'
import { checkpointRoots, namesOf } from '../records/root-names.ts'
import type { Views } from '../sandboxes/views.ts'

export interface CheckpointsDependencies {
  readonly store: Store
  readonly records: Records
  readonly views: Views
  readonly serial: Serial
  readonly nowMs: () => number
}

/** What a checkpoint is made before. */
export type CheckpointCause = Pick<CheckpointRecord, 'reason' | 'command'>

/**
 * What sandboxes were, the last few times that something was about to change them. A checkpoint is a root with a name in
 * the store. One that would be the same as the last is not made, and where nothing has changed since, which the view
 * counts, nothing is even looked at.
 */
export class Checkpoints {
  readonly #limits: Limits
  readonly #parts: CheckpointsDependencies
  /** How many changes each view had heard of when its last checkpoint was made. */
  readonly #changesSeen = new Map<string, number>()

  constructor(options: { limits: Limits }, dependencies: CheckpointsDependencies) {
    this.#limits = options.limits
    this.#parts = dependencies
  }

  /** Before a command, for a sandbox that wants it. Those of one sandbox wait for one another. */
  async beforeCommand(sandboxId: string, command: string): Promise<void> {
    const sandbox = this.#parts.records.sandboxes.get(sandboxId)
    if (sandbox?.checkpoint !== 'each-command') return
    const cause = { reason: 'command', command: this.#shortened(command) } as const
    await this.#inTurn(sandboxId, () => this.#make(sandbox, cause, (seen) => this.#changesSeen.get(sandboxId) === seen))
  }

  /** What the sandbox is now, with what programs have written to files that are open: a new one, or the last. */
  make(sandbox: SandboxRecord, cause: CheckpointCause): Promise<CheckpointRecord> {
    return this.#inTurn(sandbox.id, () => this.#make(sandbox, cause, () => false))
  }

  /** Of one sandbox, the oldest first. */
  list(sandboxId: string): CheckpointRecord[] {
    return [...this.#parts.records.checkpoints.values()].filter((record) => record.sandboxId === sandboxId)
  }

  /** Throws NOT_FOUND, also for another sandbox's, or INVALID_ARGUMENT naming the field. */
  get(sandboxId: string, id: string, field: string): CheckpointRecord {
    const record = this.#parts.records.checkpoints.get(checkId('ckpt', id, field))
    if (record?.sandboxId !== sandboxId) throw notFound('checkpoint', id)
    return record
  }

  /** All of a sandbox that is no more. */
  async forget(sandboxId: string): Promise<void> {
    await this.#inTurn(sandboxId, () => this.#drop(this.list(sandboxId)))
    this.#changesSeen.delete(sandboxId)
  }

  #inTurn<T>(sandboxId: string, work: () => Promise<T>): Promise<T> {
    return this.#parts.serial.run(`${sandboxId}/checkpoints`, work)
  }

  async #make(
    sandbox: SandboxRecord,
    cause: CheckpointCause,
    isAsBefore: (changes: number) => boolean,
  ): Promise<CheckpointRecord> {
    const { store, views } = this.#parts
    const lease = await views.lease(sandbox)
    try {
      const last = this.list(sandbox.id).at(-1)
      const changes = await lease.view.changeCount()
      if (last !== undefined && isAsBefore(changes)) return last
      const options = { maxFileBytes: this.#limits.maxUploadBytes }
      const { hash, root } = await fold(store, sandbox.base, lease.view.cut(), options)
      const made = last?.root === hash ? last : await this.#keep(sandbox, cause, { hash, ...root })
      this.#changesSeen.set(sandbox.id, changes)
      return made
    } finally {
      lease.release()
    }
  }

  async #keep(
    { id: sandboxId }: SandboxRecord,
    cause: CheckpointCause,
    { hash, bytes, files }: { hash: string; bytes: number; files: number },
  ): Promise<CheckpointRecord> {
    const { store, records, nowMs } = this.#parts
    const made = { id: newId('ckpt'), sequence: records.checkpoints.nextSequence(), createdAtMs: nowMs() }
    const record: CheckpointRecord = { ...cause, ...made, sandboxId, root: hash, bytes, files }
    await store.setRoots(checkpointRoots(record))
    await records.checkpoints.put(record)
    await this.#drop(this.list(sandboxId).slice(0, -this.#limits.maxCheckpointsPerSandbox))
    return record
  }

  async #drop(dropped: readonly CheckpointRecord[]): Promise<void> {
    if (dropped.length === 0) return
    const { store, records } = this.#parts
    await records.checkpoints.delete(...dropped.map(({ id }) => id))
    await store.deleteRoot(...dropped.flatMap((record) => namesOf(checkpointRoots(record))))
  }

  #shortened(command: string): string {
    const { checkpointCommandCharacters: most } = this.#limits
    const characters = [...command.slice(0, 2 * most)]
    return characters.length <= most ? command : characters.slice(0, most).join('')
  }
}
