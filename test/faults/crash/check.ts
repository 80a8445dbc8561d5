import type { Found } from './found.ts'
import { bytesAfter, Model, type ModelInode, type Step, stepped } from './model.ts'
import type { History, Operation } from './operation.ts'
import type { Order } from './writer.ts'

/**
 * What a crash may take.
 * - `kill`: what the kernel has not sent, and what is not in a batch yet
 * - `power`: all that was not asked to be durable
 * - `nothing`: everything had been asked to be durable (unmount, stop, sync)
 */
export type Crash = 'kill' | 'power' | 'nothing'

export interface Witness {
  readonly order: Order
  readonly history: History
  /** The last operation that is noted as over on the mount. */
  readonly noted: number
  readonly found: ReadonlyMap<string, Found>
}

/** What is wrong with what was found after a crash: nothing, or a line for each fault. */
export function faultsOf(witnesses: readonly Witness[], crash: Crash): string[] {
  return [
    ...witnesses.flatMap((witness) => lostDurable(witness, witnesses, crash)),
    ...witnesses.flatMap((witness) => outOfOrder(witness, witnesses)),
    ...witnesses.flatMap((witness) => wrongState(witness, crash)),
  ]
}

/** fsync of anything makes all names and attributes durable that were answered before it began, of any writer. */
function lostDurable({ history, noted }: Witness, witnesses: readonly Witness[], crash: Crash): string[] {
  const syncs = witnesses.flatMap((each) => each.history.done.slice(0, each.history.answered).filter(syncsIndex))
  const lastUs = crash === 'nothing' ? Number.POSITIVE_INFINITY : Math.max(0, ...syncs.map(({ beganUs }) => beganUs))
  const least = history.done.filter(({ notedUs }) => notedUs > 0 && notedUs <= lastUs).length
  return noted < least ? [`${least} operations were durable, ${noted} are there`] : []
}

/** Batches hold all writers' operations, in order: none has one that began after one of another that is missing. */
function outOfOrder({ history, noted }: Witness, witnesses: readonly Witness[]): string[] {
  const mine = history.done[noted - 1]
  if (mine === undefined) return []
  return witnesses.flatMap((other) => {
    const next = other.history.done[other.noted]
    if (next === undefined || next.notedUs === 0 || next.notedUs > mine.noteBeganUs) return []
    return [`operation ${noted} is there, of another writer ${other.noted + 1} is missing, which was over before`]
  })
}

function syncsIndex({ operation }: { operation: Operation }): boolean {
  return operation.op === 'syncDirectory' || ('sync' in operation && operation.sync === 'fsync')
}

/** The names and attributes are those after operation `noted` or the next one; contents as the crash allows. */
function wrongState({ order, history, noted, found }: Witness, crash: Crash): string[] {
  const model = new Model(order)
  for (const { name, tag, length } of order.planted) model.plant(name, tag, length)
  let at = snapshot(model)
  let next: Snapshot | null = null
  const { done, answered } = history
  done.forEach(({ operation }, index) => {
    model.apply(operation, index + 1)
    if (index + 1 === noted) at = snapshot(model)
    if (index === noted) next = snapshot(model)
  })
  // The next operation was durable though nobody came to note it.
  const synced = done[noted]
  const nextIsDurable = noted < answered && synced !== undefined && (crash === 'nothing' || syncsIndex(synced))
  const candidates: [number, Snapshot][] = nextIsDurable ? [] : [[noted, at]]
  if (next !== null) candidates.push([noted + 1, next])
  // Two states may have the same names.
  const faults = candidates.map(([number, candidate]) => {
    const ofNames = nameFaults(number, candidate, found)
    return ofNames.length > 0 ? ofNames : contentFaults(candidate, found, crash, { noted, answered })
  })
  return faults.some((each) => each.length === 0) ? [] : faults.flat()
}

function contentFaults(
  names: Snapshot,
  found: ReadonlyMap<string, Found>,
  crash: Crash,
  progress: { noted: number; answered: number },
): string[] {
  return [...names].flatMap(([path, { inode }]) => {
    if (inode.kind !== 'file') return []
    const floor = floorOf(inode, crash, progress)
    const fault = contentFault(inode, (found.get(path) as Found).bytes, floor)
    return fault === null ? [] : [`${path} (of operation ${floor} or later): ${fault}`]
  })
}

interface Seen extends Omit<Found, 'ino' | 'bytes'> {
  readonly inode: ModelInode
}
type Snapshot = Map<string, Seen>

function snapshot(model: Model): Snapshot {
  const seen: Snapshot = new Map()
  const names = new Map<ModelInode, number>()
  walk(model.root, '', (_, inode) => names.set(inode, (names.get(inode) ?? 0) + 1))
  walk(model.root, '', (path, inode) => {
    const subdirectories = [...inode.entries.values()].filter(({ kind }) => kind === 'directory').length
    seen.set(path, {
      inode,
      kind: inode.kind,
      mode: inode.mode,
      nlink: inode.kind === 'directory' ? 2 + subdirectories : (names.get(inode) as number),
      xattrs: [...inode.xattrs].sort(([one], [other]) => (one < other ? -1 : 1)),
      target: inode.target,
    })
  })
  return seen
}

function walk(directory: ModelInode, at: string, visit: (path: string, inode: ModelInode) => void): void {
  for (const [name, inode] of directory.entries) {
    visit(at + name, inode)
    walk(inode, `${at}${name}/`, visit)
  }
}

function nameFaults(number: number, expected: Snapshot, found: ReadonlyMap<string, Found>): string[] {
  const faults: string[] = []
  const inos = new Map<ModelInode, number>()
  for (const path of found.keys()) if (!expected.has(path)) faults.push(`after ${number}: ${path} should not be there`)
  for (const [path, { inode, ...wanted }] of expected) {
    const there = found.get(path)
    if (there === undefined) {
      faults.push(`after ${number}: ${path} is missing`)
      continue
    }
    const { ino, bytes: _, ...seen } = there
    const [is, ought] = [JSON.stringify(sorted(seen)), JSON.stringify(sorted(wanted))]
    if (is !== ought) faults.push(`after ${number}: ${path} is ${is} instead of ${ought}`)
    if ((inos.get(inode) ?? ino) !== ino) faults.push(`after ${number}: ${path} is another file than its other name`)
    inos.set(inode, ino)
  }
  return faults
}

function sorted({ kind, mode, nlink, xattrs, target }: Omit<Found, 'ino' | 'bytes'>): unknown[] {
  return [kind, mode, nlink, xattrs, target]
}

/** The last operation whose bytes must be there. */
function floorOf(inode: ModelInode, crash: Crash, { noted, answered }: { noted: number; answered: number }): number {
  if (crash === 'nothing') return answered
  const durable = Math.max(0, ...inode.syncedAt.filter((at) => at <= answered))
  if (crash === 'power') return durable
  return Math.max(durable, ...inode.sentAt.filter((at) => at <= noted))
}

/**
 * Each byte is one that it was after the operation `floor` or at some time later, and the size lies among the sizes
 * since. (The kernel sends pages one by one, so a write that was not over may be there in parts.)
 */
function contentFault(inode: ModelInode, bytes: Buffer, floor: number): string | null {
  let state = bytesAfter(inode, floor)
  const later = inode.steps.filter((step) => step.at > floor)
  if (later.length === 0) {
    if (bytes.equals(state)) return null
    return `${bytes.length} bytes instead of ${state.length}, the first that differs is ${differsAt(bytes, state)}`
  }
  let [least, most] = [state.length, state.length]
  const right = new Uint8Array(bytes.length)
  const allow = (allowed: Buffer) => {
    for (let at = 0; at < bytes.length; at++) if ((at < allowed.length ? allowed[at] : 0) === bytes[at]) right[at] = 1
  }
  allow(state)
  for (const step of later) {
    state = stepped(state, step as Step)
    least = Math.min(least, state.length)
    most = Math.max(most, state.length)
    allow(state)
  }
  if (bytes.length < least || bytes.length > most) return `${bytes.length} bytes instead of ${least} to ${most}`
  const wrong = right.indexOf(0)
  return wrong < 0 ? null : `byte ${wrong} is ${bytes[wrong]}, which nobody wrote there since`
}

function differsAt(one: Buffer, other: Buffer): number {
  for (let at = 0; at < Math.min(one.length, other.length); at++) if (one[at] !== other[at]) return at
  return Math.min(one.length, other.length)
}
