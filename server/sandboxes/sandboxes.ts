import type { Hash } from '../../fs-layer/store/objects.ts'
import type { Store } from '../../fs-layer/store/store.ts'
import type { ImageProgress, Runtime } from '../../runtimes/contract/runtime.ts'
import { type Caller, sees } from '../access/caller.ts'
import { ownerIn } from '../access/owner-of.ts'
import type { Quotas } from '../access/quotas.ts'
import type { Checkpoints } from '../checkpoints/checkpoints.ts'
import type { Codebases } from '../codebases/codebases.ts'
import type { Serial } from '../concurrency/serial.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, notFound, notRunning, printable } from '../errors/croft-error.ts'
import { toCroftError } from '../errors/to-croft-error.ts'
import { checkId, newId } from '../records/ids.ts'
import type { MadeBy } from '../records/once.ts'
import { originOf } from '../records/origin.ts'
import type { Page } from '../records/page.ts'
import type { CodebaseRecord, SandboxRecord, SnapshotRecord } from '../records/record-types.ts'
import type { Records } from '../records/records.ts'
import { namesOf, sandboxRoots } from '../records/root-names.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import type { SandboxSpec } from './create-request.ts'
import { type LaunchDependencies, launch, teardown } from './launch.ts'
import { Running, WORKSPACE } from './running.ts'
import { checkStartable, checkStoppable, type SandboxEvent, transition } from './transition.ts'

export interface SandboxesDependencies extends LaunchDependencies {
  readonly store: Store
  readonly records: Records
  readonly codebases: Codebases
  readonly snapshots: Pick<Snapshots, 'get'>
  readonly checkpoints: Pick<Checkpoints, 'beforeCommand' | 'forget'>
  readonly serial: Serial
  readonly quotas: Pick<Quotas, 'reserve' | 'bytesOfSandbox'>
  readonly runtimes: ReadonlyMap<string, Runtime>
  readonly nowMs: () => number
}

/** In turn with all else that becomes of the sandbox, which waits for it. Neither may reject. */
export interface Told {
  stopped(record: SandboxRecord): Promise<void>
  /** Its files are there still. */
  destroying(record: SandboxRecord): Promise<void>
}

export interface StartOptions {
  readonly onImage?: ((progress: ImageProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Every sandbox and what becomes of it. What changes one runs in turn (`serial`, by its id), and its record is
 * on the disk before the change is answered.
 */
export class Sandboxes implements AsyncDisposable {
  readonly #limits: Limits
  readonly #parts: SandboxesDependencies
  readonly #running = new Map<string, Running>()
  /** Under way, or waiting for their turn. */
  readonly #starts = new Map<string, Set<AbortController>>()
  #closing = false
  #told: Told | undefined

  constructor(options: { limits: Limits }, dependencies: SandboxesDependencies) {
    this.#limits = options.limits
    this.#parts = dependencies
  }

  /** Who is told from now on what becomes of them. */
  tell(told: Told): void {
    this.#told = told
  }

  get runningCount(): number {
    return this.#running.size
  }

  /** Throws NOT_FOUND, or INVALID_ARGUMENT naming `sandbox_id`. */
  get(id: string): SandboxRecord {
    const record = this.#parts.records.sandboxes.get(checkId('sb', id, 'sandbox_id'))
    if (record === undefined || record.status === 'destroyed') throw notFound('sandbox', id)
    return record
  }

  /** Those for which `matches`. */
  select(matches: (record: SandboxRecord) => boolean): SandboxRecord[] {
    return [...this.#parts.records.sandboxes.values()].filter(
      (record) => record.status !== 'destroyed' && matches(record),
    )
  }

  exists(id: string): boolean {
    const record = this.#parts.records.sandboxes.get(id)
    return record !== undefined && record.status !== 'destroyed'
  }

  /** One that runs, or FAILED_PRECONDITION. */
  running(id: string): Running {
    const running = this.#running.get(id)
    if (running !== undefined) return running
    const { status } = this.get(id)
    // On its way up or down: the record says `running`, but it cannot be used.
    throw notRunning(id, status === 'running' ? 'stopping' : status)
  }

  /** Where commands in it begin that name no directory; of one that does not run, where they mostly do. */
  cwd(id: string): string {
    return this.#running.get(id)?.parts.cwd ?? WORKSPACE
  }

  list(codebaseId: string, pageSize: number, pageToken: string, caller: Caller): Page<SandboxRecord> {
    if (codebaseId !== '') checkId('cb', codebaseId, 'codebase_id')
    const { pageSizeDefault: defaultSize, pageSizeMax: maxSize } = this.#limits
    return this.#parts.records.sandboxes.page(
      { pageSize, pageToken, defaultSize, maxSize },
      (record) =>
        record.status !== 'destroyed' &&
        (codebaseId === '' || record.codebaseId === codebaseId) &&
        sees(caller, ownerIn(record, this.#parts.records)),
    )
  }

  /** In turn with changes of the codebase, or the snapshot: it cannot be deleted meanwhile. */
  create({ expiresInMs, snapshotId, ...spec }: SandboxSpec, madeBy?: MadeBy): Promise<SandboxRecord> {
    const { codebases, snapshots, serial, nowMs } = this.#parts
    return serial.run(snapshotId ?? spec.codebaseId, async () => {
      const source =
        snapshotId === undefined
          ? baseOfCodebase(codebases.get(spec.codebaseId))
          : { ...baseOf(snapshots.get(snapshotId)), owner: ownerIn(snapshots.get(snapshotId), this.#parts.records) }
      const expires = expiresInMs === undefined ? {} : { expiresAtMs: nowMs() + expiresInMs }
      const [made] = await this.#make(1, { ...spec, ...expires, ...source, ...by(madeBy) })
      return made as SandboxRecord
    })
  }

  /** So many like this one, on another base; all or none. */
  async fork(
    { id }: SandboxRecord,
    base: Hash,
    count: number,
    labels: SandboxRecord['labels'],
    madeBy?: MadeBy,
  ): Promise<SandboxRecord[]> {
    // Whatever else it is, so that no limit and no rule is left behind.
    const { restored, startedAtMs, stoppedAtMs, error, madeBy: _, ...spec } = this.get(id)
    const origin = originOf(spec)
    const owner = ownerIn(spec, this.#parts.records)
    return await this.#make(count, {
      ...spec,
      ...{ owner, base, origin, labels: { ...spec.labels, ...labels } },
      ...by(madeBy),
    })
  }

  async #make(count: number, spec: Omit<SandboxRecord, 'id' | 'sequence' | 'status' | 'createdAtMs'>) {
    const { records, store, quotas, nowMs } = this.#parts
    if (records.sandboxes.size + count > this.#limits.maxSandboxes) {
      throw new CroftError('RESOURCE_EXHAUSTED', `there are ${this.#limits.maxSandboxes} sandboxes, which is the limit`)
    }
    const { owner = '', quota } = spec
    const bytes = count * quotas.bytesOfSandbox(owner, quota?.bytes)
    using _ = quotas.reserve(owner, { sandboxes: count, bytes })
    const createdAtMs = nowMs()
    const made = Array.from({ length: count }, (): SandboxRecord => {
      const [id, sequence] = [newId('sb'), records.sandboxes.nextSequence()]
      return { ...spec, id, sequence, status: 'pending', createdAtMs }
    })
    await store.setRoots(made.flatMap(sandboxRoots))
    await records.sandboxes.putAll(made)
    return made
  }

  /**
   * What a sandbox that does not run sees is another version from now on, and what it changed is gone. One record says
   * both, so a server that dies over it leaves the one or the other.
   */
  restore(id: string, base: Hash): Promise<SandboxRecord> {
    const { records, views, store } = this.#parts
    return this.#inTurn(id, async (record) => {
      if (record.status === 'running') {
        throw new CroftError('FAILED_PRECONDITION', `sandbox ${id} is running: stop it first`, { reason: 'running' })
      }
      const origin = originOf(record)
      const restored: SandboxRecord = { ...record, base, origin, restored: (record.restored ?? 0) + 1 }
      await store.setRoots(sandboxRoots(restored))
      await views.prepare(record, restored)
      await records.sandboxes.put(restored)
      await views.remove(record)
      await store.deleteRoot(...namesOf(sandboxRoots(record)))
      return restored
    })
  }

  /** Given up when it is destroyed meanwhile, or `signal` aborts: fetching an image may take long. */
  async start(id: string, { onImage, signal }: StartOptions = {}): Promise<SandboxRecord> {
    const given = new AbortController()
    const all = signal === undefined ? given.signal : AbortSignal.any([given.signal, signal])
    const starts = this.#starts.get(id) ?? new Set()
    this.#starts.set(id, starts.add(given))
    try {
      return await this.#start(id, { onImage, signal: all })
    } finally {
      starts.delete(given)
      if (starts.size === 0) this.#starts.delete(id)
    }
  }

  #start(id: string, options: StartOptions): Promise<SandboxRecord> {
    return this.#inTurn(id, async (record) => {
      checkStartable(record)
      if (this.#closing) throw new CroftError('UNAVAILABLE', 'the server is stopping', { reason: 'stopping' })
      const runtime = this.#parts.runtimes.get(record.runtime)
      if (runtime === undefined) {
        throw new CroftError('UNIMPLEMENTED', `this server has no runtime ${record.runtime}`, { field: 'runtime' })
      }
      using _ = this.#parts.quotas.reserve(ownerIn(record, this.#parts.records), { running: 1 })
      let parts: Awaited<ReturnType<typeof launch>>
      try {
        options.signal?.throwIfAborted()
        parts = await launch(record, runtime, this.#parts, options)
      } catch (error) {
        await this.#change(record, { type: 'failed', reason: `could not start: ${reasonOf(error)}` })
        throw error
      }
      const running = new Running(this.#limits, parts, (text) => this.#parts.checkpoints.beforeCommand(id, text))
      this.#running.set(id, running)
      this.#watch(running)
      try {
        return await this.#change(record, { type: 'started' })
      } catch (error) {
        await this.#end(running)
        throw error
      }
    })
  }

  stop(id: string): Promise<SandboxRecord> {
    return this.#inTurn(id, async (record) => {
      checkStoppable(record)
      const running = this.#running.get(id)
      const notDurable = running === undefined ? undefined : await this.#end(running)
      const stopped = await this.#change(record, { type: 'stopped' })
      await this.#told?.stopped(stopped)
      // It has stopped, but an answer would say that what it wrote last is on the disk.
      if (notDurable !== undefined) throw notDurable
      return stopped
    })
  }

  destroy(id: string): Promise<void> {
    this.#giveUpStarting(id, 'destroyed')
    return this.#inTurn(id, async (record) => {
      const running = this.#running.get(id)
      if (running !== undefined) await this.#end(running)
      await this.#told?.destroying(record)
      await this.finishDestroying(await this.#change(record, { type: 'destroyed' }))
    })
  }

  /** From the moment the record says `destroyed`, this is gone through to its end, if need be by the next server. */
  async finishDestroying(record: SandboxRecord): Promise<void> {
    const { id } = record
    const { records, views, store, networks, checkpoints } = this.#parts
    await views.remove(record)
    await checkpoints.forget(id)
    await networks.forget(id)
    const sessions = [...records.sessions.values()].filter(({ sandboxId }) => sandboxId === id)
    if (sessions.length > 0) await records.sessions.delete(...sessions.map((session) => session.id))
    await store.deleteRoot(...namesOf(sandboxRoots(record)))
    await records.sandboxes.delete(id)
  }

  /** In force for the next call inside when it resolves. */
  setRules(id: string, preset: string, rules: SandboxRecord['rules']): Promise<SandboxRecord> {
    const { records, views } = this.#parts
    return this.#inTurn(id, async (record) => {
      // Recorded first: a server that dies in between comes back with the new rules, never with the old ones.
      const changed = await records.sandboxes.put({ ...record, preset, rules })
      await views.setRules(id, rules)
      return changed
    })
  }

  /** Ends those whose time is over. One that fails is tried again at the next call. */
  async destroyExpired(): Promise<void> {
    const now = this.#parts.nowMs()
    for (const { id, expiresAtMs, status } of [...this.#parts.records.sandboxes.values()]) {
      if (expiresAtMs === undefined || expiresAtMs > now || status === 'destroyed') continue
      await this.destroy(id)
      this.#parts.log.info({ sandbox: id }, 'sandbox expired and was destroyed')
    }
  }

  /** Stops all that run, side by side; their records say `stopped`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true
    for (const id of this.#starts.keys()) this.#giveUpStarting(id, 'stopped with the server')
    await this.#parts.serial.idle()
    const stops = [...this.#running.keys()].map((id) =>
      this.stop(id).catch((err: unknown) => this.#parts.log.error({ err, sandbox: id }, 'cannot stop a sandbox')),
    )
    await Promise.all(stops)
  }

  #giveUpStarting(id: string, why: string): void {
    const reason = new CroftError('ABORTED', `sandbox ${id} was ${why} while it started`, { reason: 'start_given_up' })
    for (const start of this.#starts.get(id) ?? []) start.abort(reason)
  }

  #inTurn<T>(id: string, work: (record: SandboxRecord) => Promise<T>): Promise<T> {
    this.get(id)
    return this.#parts.serial.run(id, () => work(this.get(id)))
  }

  #change(record: SandboxRecord, event: SandboxEvent): Promise<SandboxRecord> {
    const { records, nowMs, log } = this.#parts
    const changed = transition(record, event, nowMs())
    log.info({ sandbox: record.id, from: record.status, to: changed.status }, 'sandbox changed')
    return records.sandboxes.put(changed)
  }

  /** Resolves with the reason if what it wrote could not be made durable. */
  async #end(running: Running): Promise<unknown> {
    this.#running.delete(running.sandboxId)
    const notDurable = await teardown(running.parts, this.#parts)
    await Promise.all([...running.atEnd].map((tell) => tell()))
    return notDurable
  }

  /**
   * A boundary that ends by itself, an agent that says what it must not, or files that do not come back when the
   * filesystem thread has died, make it an `error` sandbox.
   */
  #watch(running: Running): void {
    const { agent, launched, view } = running.parts
    const fail = async (reason: string) => {
      if (this.#running.get(running.sandboxId) !== running) return
      await this.#inTurn(running.sandboxId, async (record) => {
        if (this.#running.get(running.sandboxId) !== running) return
        await this.#end(running)
        await this.#change(record, { type: 'failed', reason })
      })
    }
    const onFailure = (err: unknown) =>
      this.#parts.log.error({ err, sandbox: running.sandboxId }, 'cannot clean up after a sandbox that ended')
    launched.ended.then((ended) => fail(`the runtime ended: ${printable(ended.message)}`)).catch(onFailure)
    view.view.lost.then((error) => fail(printable(error.message))).catch(onFailure)
    agent.closed
      .then((error) => (error === undefined ? undefined : fail(`the agent is gone: ${printable(error.message)}`)))
      .catch(onFailure)
  }
}

function by(madeBy: MadeBy | undefined): { madeBy?: MadeBy } {
  return madeBy === undefined ? {} : { madeBy }
}

function baseOfCodebase({ id, root, ownerId }: CodebaseRecord) {
  return { codebaseId: id, base: root, owner: ownerId }
}

function baseOf(snapshot: SnapshotRecord) {
  return { codebaseId: snapshot.codebaseId, base: snapshot.root, origin: originOf(snapshot) }
}

function reasonOf(error: unknown): string {
  return toCroftError(error)?.message ?? 'the server failed; its log says why'
}
