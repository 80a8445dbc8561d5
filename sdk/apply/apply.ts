import { createHash } from 'node:crypto'
import type { DetailedChange } from '../changes.ts'
import { ConflictError, InternalError, LocalFileError } from '../errors.ts'
import { type BytePath, toText } from '../upload/byte-path.ts'
import { type LocalState, LocalTree } from './local-tree.ts'
import { type ApplyConflict, isSame, makePlan, type Plan, type Step } from './plan.ts'

export interface ApplyOptions {
  /** Say what would be done, and do nothing. Default false. */
  readonly dryRun?: boolean
  /**
   * Where the folder has something else than was uploaded. `refuse`: do nothing at all. `skip`: leave those paths as they
   * are. `overwrite`: make the change all the same; what was there is lost. Default `refuse`.
   */
  readonly onConflict?: 'refuse' | 'skip' | 'overwrite'
}

export interface ApplyResult {
  /** What was done, or would be. */
  readonly applied: readonly { readonly path: string; readonly kind: Step['kind'] }[]
  /** What was not, and why. */
  readonly conflicts: readonly ApplyConflict[]
  /** Directories that the sandbox removed, and that have something in them that it did not know. */
  readonly kept: readonly string[]
}

/** The folder has changed where the sandbox did too. Nothing was done. */
export class ApplyConflictError extends ConflictError {
  readonly conflicts: readonly ApplyConflict[]

  constructor(folder: string, conflicts: readonly ApplyConflict[]) {
    const shown = conflicts.slice(0, 5).map(({ path, reason }) => `${path} (${reason})`)
    const more = conflicts.length > shown.length ? ` and ${conflicts.length - shown.length} more` : ''
    super(`${folder} is not what was uploaded at ${shown.join(', ')}${more}, and nothing was changed`, {
      remedy: 'Look at the conflicts, and skip or overwrite them',
    })
    this.conflicts = conflicts
  }
}

/** Makes changes in a folder, each file whole or not at all, what goes before what comes. */
export async function applyChanges(
  folder: string,
  changes: readonly DetailedChange[],
  read: (path: BytePath) => AsyncIterable<Uint8Array>,
  { dryRun = false, onConflict = 'refuse' }: ApplyOptions,
): Promise<ApplyResult> {
  const tree = new LocalTree(folder)
  const plan = await makePlan(tree, changes)
  if (!dryRun && onConflict === 'refuse' && plan.conflicts.length > 0) {
    throw new ApplyConflictError(folder, plan.conflicts)
  }
  const steps = onConflict === 'overwrite' ? [...plan.steps, ...plan.overwrites] : plan.steps
  const done = steps.map(({ path, kind }) => ({ path: toText(path), kind }))
  const conflicts = onConflict === 'overwrite' ? withoutOverwritten(plan) : plan.conflicts
  if (dryRun) return { applied: done, conflicts, kept: [] }
  const kept = await carryOut(tree, steps, read)
  return { applied: done.filter(({ path }) => !kept.includes(path)), conflicts, kept }
}

function withoutOverwritten({ conflicts, overwrites }: Plan): ApplyConflict[] {
  const done = new Set(overwrites.map(({ path }) => toText(path)))
  return conflicts.filter(({ path }) => !done.has(path))
}

type Read = (path: BytePath) => AsyncIterable<Uint8Array>

async function carryOut(tree: LocalTree, steps: readonly Step[], read: Read): Promise<string[]> {
  const kept: string[] = []
  const downward = [...steps].sort((a, b) => (a.path < b.path ? -1 : 1))
  const gone = new Set<Step>()
  for (const step of downward.toReversed()) {
    if (!mustGo(step)) continue
    if (await takeAway(tree, step)) gone.add(step)
    else kept.push(toText(step.path))
  }
  for (const step of downward) {
    if (step.after.kind !== 'none') await bring(tree, step, gone.has(step) ? NONE : step.before, read)
  }
  return kept
}

const NONE: LocalState = { kind: 'none' }

/** All else is replaced in one step. */
function mustGo({ before, after }: Step): boolean {
  if (before.kind === 'none' || before.kind === after.kind) return false
  return after.kind === 'none' || after.kind === 'directory' || before.kind === 'directory'
}

/** False: something is in it, which stays. */
async function takeAway(tree: LocalTree, { path, before }: Step): Promise<boolean> {
  if (before.kind === 'directory') return await tree.removeDirectory(path)
  await checkUnchanged(tree, path, before)
  await tree.removeFile(path)
  return true
}

async function bring(
  tree: LocalTree,
  { path, kind, after, mode }: Step,
  before: LocalState,
  read: Read,
): Promise<void> {
  await checkUnchanged(tree, path, before)
  if (kind === 'mode') return await tree.setMode(path, mode)
  if (after.kind === 'directory') return before.kind === 'directory' ? undefined : await tree.makeDirectory(path)
  if (after.kind === 'file') return await tree.writeFile(path, verified(path, read(path), after.sha256), mode)
  if (after.kind === 'symlink') await tree.writeLink(path, after.target)
}

/** It may have been written to since the plan was made. */
async function checkUnchanged(tree: LocalTree, path: BytePath, before: LocalState): Promise<void> {
  const now = await tree.stateOf(path)
  if (isSame(now, before) || (now.kind === 'other' && before.kind === 'other')) return
  throw new LocalFileError(toText(path), `${toText(path)} was changed meanwhile`, {
    remedy: 'What was done before it stays; look at it and apply again',
  })
}

/** Fails at its end, and so before the file gets its name, where it was not what was announced. */
async function* verified(
  path: BytePath,
  contents: AsyncIterable<Uint8Array>,
  sha256: string,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  for await (const chunk of contents) {
    hash.update(chunk)
    yield chunk
  }
  if (hash.digest('hex') === sha256) return
  throw new InternalError(`The server sent other contents of ${toText(path)} than it had announced`)
}
