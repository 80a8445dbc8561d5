import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Store } from '../../fs-layer/store/store.ts'
import { type LeftBehind, type Runtime, RuntimeError } from '../../runtimes/contract/runtime.ts'
import type { Logger } from '../observability/log.ts'
import type { Records } from '../records/records.ts'
import {
  checkpointRoots,
  codebaseRoots,
  heldNames,
  namesOf,
  sandboxRoots,
  snapshotRoots,
} from '../records/root-names.ts'
import { deltaName, sandboxOfDelta } from './delta-name.ts'
import type { MountDirs } from './mount-dirs.ts'
import type { Sandboxes } from './sandboxes.ts'
import { transition } from './transition.ts'

export interface RecoverDependencies {
  readonly records: Records
  readonly store: Store
  readonly sandboxes: Sandboxes
  readonly mountDirs: MountDirs
  readonly runtimes: ReadonlyMap<string, Runtime>
  readonly deltasDir: string
  readonly nowMs: () => number
  readonly log: Logger
}

/**
 * Puts right what an earlier server left when it was killed, before the first call is taken: processes, then
 * mounts, then records. Only what is ours by name is touched.
 */
export async function recover(previousInstances: readonly string[], dependencies: RecoverDependencies): Promise<void> {
  const { records, sandboxes, mountDirs, runtimes, nowMs, log } = dependencies
  const all = [...records.sandboxes.values()]

  const sandboxIds = all.map(({ id }) => id)
  for (const instance of previousInstances) {
    for (const runtime of runtimes.values()) await reap(runtime, { instance, sandboxIds }, log)
  }
  const detached = await mountDirs.detachLeftovers()
  if (detached > 0) log.warn({ mounts: detached }, 'detached what an earlier server left mounted')

  const wereRunning = all.filter(({ status }) => status === 'running')
  await records.sandboxes.putAll(wereRunning.map((record) => transition(record, { type: 'stopped' }, nowMs())))
  const wereActive = [...records.sessions.values()].filter(({ status }) => status === 'active')
  await records.sessions.putAll(wereActive.map((session) => ({ ...session, status: 'closed', closedAtMs: nowMs() })))
  if (wereRunning.length > 0) log.warn({ sandboxes: wereRunning.length }, 'sandboxes ran when the last server ended')

  for (const record of all.filter(({ status }) => status === 'destroyed')) await sandboxes.finishDestroying(record)
  await removeOrphans(dependencies)
  await removeStaleRoots(dependencies)
}

/** An engine that is not there now is no reason not to start: what it kept of ours is of use to nobody. */
async function reap(runtime: Runtime, leftBehind: LeftBehind, log: Logger): Promise<void> {
  try {
    await runtime.reap(leftBehind)
  } catch (err) {
    if (!(err instanceof RuntimeError) || err.code !== 'unavailable') throw err
    const label = `croft.instance=${leftBehind.instance}`
    log.warn({ reason: err.message, runtime: runtime.name, label }, 'cannot look for what an earlier server left there')
  }
}

/** A delta that no record names: a sandbox's creation or removal, or a restoring, was cut short. */
async function removeOrphans({ records, deltasDir, log }: RecoverDependencies): Promise<void> {
  for (const name of await readdir(deltasDir)) {
    const id = sandboxOfDelta(name)
    if (id === undefined) continue
    const record = records.sandboxes.get(id)
    if (record !== undefined && deltaName(record) === name) continue
    log.warn({ sandbox: id, delta: name }, 'removing a delta that belongs to no sandbox')
    await rm(join(deltasDir, name), { recursive: true, force: true })
  }
}

/** Names that keep versions for records that were never made, or are gone: they would be kept for ever. */
async function removeStaleRoots({ records, store, log }: RecoverDependencies): Promise<void> {
  const wanted = new Set([
    ...[...records.codebases.values()].flatMap((record) => namesOf(codebaseRoots(record))),
    ...[...records.sandboxes.values()].flatMap((record) => namesOf(sandboxRoots(record))),
    ...[...records.checkpoints.values()].flatMap((record) => namesOf(checkpointRoots(record))),
    ...[...records.snapshots.values()].flatMap((record) => namesOf(snapshotRoots(record))),
    ...[...records.exportJobs.values()].flatMap(({ id, status }) => (status === 'done' ? [] : heldNames(id))),
  ])
  const stale: string[] = []
  for await (const { name } of store.roots()) {
    if (/^(?:checkpoint|codebase|sandbox|snapshot|export)\//.test(name) && !wanted.has(name)) stale.push(name)
  }
  if (stale.length === 0) return
  log.warn({ names: stale.length }, 'letting go of versions that nothing on record needs')
  await store.deleteRoot(...stale)
}
