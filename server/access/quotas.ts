import type { Limits } from '../config/limits.ts'
import type { Config } from '../config/schema.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import type { Records } from '../records/records.ts'
import { ownerIn } from './owner-of.ts'
import { Windows } from './windows.ts'

/** What an owner may have; absent or 0: as much as there is. */
export type OwnerQuota = Config['quotas'][string]

/** What is asked for beside what the owner has. */
export type Wanted = { readonly [K in Counted]?: number }

type Counted = 'sandboxes' | 'running' | 'snapshots' | 'bytes'

export interface QuotasDependencies {
  readonly records: Pick<Records, 'codebases' | 'sandboxes' | 'snapshots'>
  /** Of all files in a version. */
  readonly bytesOf: (root: string) => number
  readonly nowMs: () => number
}

const COUNTED: readonly Counted[] = ['sandboxes', 'running', 'snapshots', 'bytes']
const WINDOW_MS = 60_000

/**
 * What each owner has, counted from the records, so that nothing has to be kept up to date. The empty owner, the
 * server's own user, is no guest and has no quota.
 */
export class Quotas {
  readonly #options: { readonly limits: Limits; readonly quotas: Config['quotas'] }
  readonly #parts: QuotasDependencies
  readonly #commands: Windows
  /** Asked for, and not on record yet. */
  readonly #reserved = new Set<{ readonly owner: string; readonly wanted: Wanted }>()

  constructor(options: { limits: Limits; quotas: Config['quotas'] }, dependencies: QuotasDependencies) {
    this.#options = options
    this.#parts = dependencies
    this.#commands = new Windows({ windowMs: WINDOW_MS, maxNames: options.limits.maxTokens }, dependencies)
  }

  /** Throws RESOURCE_EXHAUSTED, saying what the owner has and may have. */
  check(owner: string, wanted: Wanted): void {
    if (owner === '') return
    const quota = this.#of(owner)
    for (const what of COUNTED) {
      const [more, most] = [wanted[what] ?? 0, quota[what] ?? 0]
      if (more <= 0 || most === 0) continue
      const has = this.#has(owner, what)
      if (has + more > most) throw exhausted(owner, what, { has, more, most })
    }
  }

  /** The same, and holds on to it until it is disposed of: by then it is on record, or came to nothing. */
  reserve(owner: string, wanted: Wanted): Disposable {
    this.check(owner, wanted)
    const reservation = { owner, wanted }
    this.#reserved.add(reservation)
    return { [Symbol.dispose]: () => void this.#reserved.delete(reservation) }
  }

  /** What a sandbox may add counts as if it had added it, so it has to be known. */
  bytesOfSandbox(owner: string, diskBytes: number | undefined): number {
    if (diskBytes !== undefined || owner === '' || (this.#of(owner).bytes ?? 0) === 0) return diskBytes ?? 0
    throw invalid('resources.disk_bytes', `must be given: owner ${owner} has a quota of bytes`)
  }

  countCommand(owner: string): void {
    const most = this.#of(owner).commandsPerMinute ?? 0
    if (owner === '' || most === 0) return
    const waitMs = this.#commands.waitMs(owner, most)
    if (waitMs > 0) {
      const wait = Math.ceil(waitMs / 1000)
      throw new CroftError(
        'RESOURCE_EXHAUSTED',
        `owner ${owner} has started ${most} of ${most} commands in a minute: try again in ${wait} s`,
        { reason: 'quota_commands_per_minute' },
      )
    }
    this.#commands.note(owner)
  }

  #of(owner: string): OwnerQuota {
    const { limits, quotas } = this.#options
    return {
      sandboxes: limits.maxSandboxesPerOwner,
      running: limits.maxRunningPerOwner,
      snapshots: limits.maxSnapshotsPerOwner,
      bytes: limits.maxBytesPerOwner,
      commandsPerMinute: limits.maxCommandsPerMinutePerOwner,
      ...(Object.hasOwn(quotas, owner) ? quotas[owner] : {}),
    }
  }

  #has(owner: string, what: Counted): number {
    const reserved = [...this.#reserved].filter((each) => each.owner === owner)
    return sum(reserved, ({ wanted }) => wanted[what] ?? 0) + this.#onRecord(owner, what)
  }

  #onRecord(owner: string, what: Counted): number {
    const { records, bytesOf } = this.#parts
    const sandboxes = () =>
      [...records.sandboxes.values()].filter(
        (record) => record.status !== 'destroyed' && ownerIn(record, records) === owner,
      )
    const snapshots = () => [...records.snapshots.values()].filter((record) => ownerIn(record, records) === owner)
    const codebases = () => [...records.codebases.values()].filter(({ ownerId }) => ownerId === owner)
    switch (what) {
      case 'sandboxes':
        return sandboxes().length
      case 'running':
        return sandboxes().filter(({ status }) => status === 'running').length
      case 'snapshots':
        return snapshots().length
      case 'bytes':
        return (
          sum(codebases(), ({ root }) => bytesOf(root)) +
          sum(snapshots(), ({ bytes }) => bytes) +
          sum(sandboxes(), ({ quota }) => quota?.bytes ?? 0)
        )
    }
  }
}

const REMEDIES: Readonly<Record<Counted, string>> = {
  sandboxes: 'destroy one',
  running: 'stop one',
  snapshots: 'delete one',
  bytes: 'delete codebases or snapshots, or destroy sandboxes, whose disk_bytes count whole',
}

const NAMES: Readonly<Record<Counted, string>> = {
  sandboxes: 'sandboxes',
  running: 'running sandboxes',
  snapshots: 'snapshots',
  bytes: 'bytes',
}

function exhausted(
  owner: string,
  what: Counted,
  { has, more, most }: { has: number; more: number; most: number },
): CroftError {
  return new CroftError(
    'RESOURCE_EXHAUSTED',
    `owner ${owner} has ${has} of ${most} ${NAMES[what]}, and this is ${more} more: ${REMEDIES[what]}`,
    { reason: `quota_${what}` },
  )
}

function sum<T>(all: readonly T[], of: (each: T) => number): number {
  return all.reduce((total, each) => total + of(each), 0)
}
