import type { DetailedChange } from '../changes.ts'
import { type BytePath, fromBytes, toText } from '../upload/byte-path.ts'
import type { LocalState, LocalTree } from './local-tree.ts'

/** One change that a folder is to have. */
export interface Step {
  readonly path: BytePath
  readonly kind: 'created' | 'modified' | 'deleted' | 'mode' | 'type'
  readonly before: LocalState
  readonly after: LocalState
  readonly mode: number
}

/** Why a change cannot be made without losing something, or at all. */
export interface ApplyConflict {
  readonly path: string
  /**
   * `changed`: the folder has something else there than the upload had. `exists`: it has something where nothing was.
   * `missing`: it has nothing where something was. `not-empty`: a directory there, that is to become something else, has
   * what the sandbox does not know. `blocked`: a link, or no directory, stands where a directory should be.
   */
  readonly reason: 'changed' | 'exists' | 'missing' | 'not-empty' | 'blocked'
}

export interface Plan {
  readonly steps: readonly Step[]
  /** Of a path that is in conflict, what would be done about it, where something can be. */
  readonly overwrites: readonly Step[]
  readonly conflicts: readonly ApplyConflict[]
}

/** Changes nothing. What the folder has already is no step. */
export async function makePlan(tree: LocalTree, changes: readonly DetailedChange[]): Promise<Plan> {
  const steps: Step[] = []
  const overwrites: Step[] = []
  const conflicts: ApplyConflict[] = []
  const all = changes.map(stepOf)
  const byPath = new Map(all.map((step) => [step.path, step]))
  for (const step of all) {
    const state = await tree.stateOf(step.path)
    // What stands in the way is about to become a directory.
    const local: LocalState = state.kind === 'blocked' && becomesDirectory(step.path, byPath) ? NONE : state
    if (step.kind !== 'mode' && isSame(local, step.after)) continue
    const reason = isSame(local, step.before) ? await occupied(tree, step, byPath) : reasonOf(local, step.before)
    if (reason === null) steps.push(step)
    else {
      conflicts.push({ path: toText(step.path), reason })
      if (canOverwrite(local, step, reason)) overwrites.push({ ...step, before: local })
    }
  }
  return { steps, overwrites, conflicts }
}

export function isSame(one: LocalState, other: LocalState): boolean {
  if (one.kind === 'file') return other.kind === 'file' && one.sha256 === other.sha256
  if (one.kind === 'symlink') return other.kind === 'symlink' && one.target === other.target
  return one.kind === other.kind && one.kind !== 'other' && one.kind !== 'blocked'
}

const NONE: LocalState = { kind: 'none' }

/** A whole directory is never thrown away for a file. */
function canOverwrite(local: LocalState, { kind, after }: Step, reason: ApplyConflict['reason']): boolean {
  if (reason === 'blocked' || reason === 'not-empty') return false
  if (kind === 'mode') return local.kind === after.kind
  return local.kind !== 'directory' || after.kind === 'directory'
}

function stepOf({ change, ...details }: DetailedChange): Step {
  const kind = change.kind === 'renamed' ? 'created' : change.kind
  const after = kind === 'deleted' ? NONE : stateFrom(change.type, details.sha256, details.symlinkTarget)
  const oldType = kind === 'type' ? (change.oldType ?? change.type) : change.type
  const before = kind === 'created' ? NONE : stateFrom(oldType, details.oldSha256, details.oldSymlinkTarget)
  return { path: fromBytes(change.rawPath), kind, before, after, mode: change.mode }
}

function stateFrom(type: string, sha256: string | undefined, target: Uint8Array | undefined): LocalState {
  if (type === 'directory') return { kind: 'directory' }
  if (type === 'symlink' && target !== undefined) return { kind: 'symlink', target: fromBytes(target) }
  return type === 'file' && sha256 !== undefined ? { kind: 'file', sha256 } : { kind: 'other' }
}

function reasonOf(local: LocalState, before: LocalState): ApplyConflict['reason'] {
  if (local.kind === 'blocked') return 'blocked'
  if (local.kind === 'none') return 'missing'
  return before.kind === 'none' ? 'exists' : 'changed'
}

/** A directory that is to become something else must have nothing in it but what goes too. */
async function occupied(
  tree: LocalTree,
  { kind, path, before }: Step,
  byPath: ReadonlyMap<BytePath, Step>,
): Promise<ApplyConflict['reason'] | null> {
  if (kind !== 'type' || before.kind !== 'directory') return null
  const waiting = [path]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const name of await tree.names(next)) {
      const below = `${next}/${name}`
      if (byPath.get(below)?.kind !== 'deleted') return 'not-empty'
      if ((await tree.stateOf(below)).kind === 'directory') waiting.push(below)
    }
  }
  return null
}

function becomesDirectory(path: BytePath, byPath: ReadonlyMap<BytePath, Step>): boolean {
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
    const above = byPath.get(path.slice(0, slash))
    if (above?.kind === 'type' && above.after.kind === 'directory') return true
  }
  return false
}
