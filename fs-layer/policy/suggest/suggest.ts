import type { ByteString } from '../../protocol/filesystem.ts'
import type { PathState } from '../path-state.ts'
import { compilePolicy, type Policy } from '../policy.ts'
import { PolicyError } from '../policy-error.ts'
import { LEVEL_NAMES, type Level, NONE, type Rule } from '../rule.ts'
import { type Cover, cover } from './cover.ts'
import { compare, type Loss, type Raised } from './losses.ts'
import { type Need, needsOf, type PathUse } from './needs.ts'
import type { Place } from './place.ts'
import { isExact, literalPattern, patternsFor } from './write-pattern.ts'

export interface Suggestion {
  /** All of them globs, to be in force without a preset. */
  readonly rules: readonly Rule[]
  /** Where they allow more than was used. */
  readonly excesses: readonly Excess[]
  readonly losses: readonly Loss[]
}

export interface Excess {
  readonly path: ByteString
  readonly level: Level
  /**
   * `trail`: it does not tell the names below apart. `size`: exact rules would be more than a policy may have. `name`:
   * it is no UTF-8 or has control characters, and its wildcards match other names too.
   */
  readonly reason: 'trail' | 'size' | 'name'
}

export interface SuggestOptions {
  /** What the codebase has. */
  readonly root: Place
  readonly uses: readonly PathUse[]
  /** The rules under which the uses were allowed. */
  readonly rules: readonly Rule[]
  /** Awaited now and then: a codebase may have millions of entries. */
  readonly pause: () => Promise<void>
}

/**
 * The smallest rules that allow the uses again (docs/spec/trail.md). Throws a `PolicyError` where even coarse ones
 * would be more than a policy may have.
 */
export async function suggest({ root, uses, rules: old, pause }: SuggestOptions): Promise<Suggestion> {
  const before = compilePolicy(old)
  const top = needsOf(uses, root, before)
  const { rules, coarse, policy } = smallestThatFits(top, old)
  const { raised, losses } = await compare(root, before, policy, pause)
  const restrictions = restrict(raised, top, rules)
  const all = [...rules, ...restrictions]
  if (restrictions.length > 0) compilePolicy(all)
  const unnamed = uses.filter((use) => use.unnamed)
  return {
    rules: all,
    losses,
    excesses: [
      ...unnamed.map(({ path, levelBelow }) => ({ path, level: levelBelow, reason: 'trail' as const })),
      ...coarse.map(({ path, level }) => ({ path, level, reason: 'size' as const })),
      ...inexact(top),
    ],
  }
}

interface Fitting {
  readonly rules: readonly Rule[]
  readonly coarse: Cover['coarse']
  readonly policy: Policy
}

/** Exact rules if a policy may have so many, otherwise the least coarse ones. */
function smallestThatFits(top: Need, old: readonly Rule[]): Fitting {
  let refusal: PolicyError | undefined
  for (const options of attempts(depthOf(top))) {
    const { rules: allowing, coarse, open } = cover(top, options)
    const rules = [...allowing, ...denialsFor(open, old, top)]
    try {
      return { rules, coarse, policy: compilePolicy(rules) }
    } catch (error) {
      if (!(error instanceof PolicyError) || !isAboutSize(error)) throw error
      refusal = error
    }
  }
  throw refusal
}

function* attempts(depth: number) {
  yield { bareDirectories: false, coarseDepth: Number.POSITIVE_INFINITY }
  yield { bareDirectories: true, coarseDepth: Number.POSITIVE_INFINITY }
  for (let coarseDepth = depth; coarseDepth >= 0; coarseDepth--) yield { bareDirectories: true, coarseDepth }
}

function isAboutSize({ code }: PolicyError): boolean {
  return code === 'too-many-rules' || code === 'policy-too-large'
}

function depthOf(need: Need): number {
  let depth = 0
  for (const child of need.children.values()) depth = Math.max(depth, 1 + depthOf(child))
  return depth
}

/**
 * What was denied by name stays denied where names are allowed that are not there yet: the rules against secrets, say.
 * Not a rule that the run has shown to be overruled.
 */
function denialsFor(open: readonly ByteString[], old: readonly Rule[], top: Need): Rule[] {
  if (open.length === 0) return []
  return old.flatMap((rule) => {
    if (rule.level !== 'none') return []
    const alone = compilePolicy([{ ...rule, level: 'write' }])
    const concerns = open.some((directory) => speaksOfBelow(stateAt(alone, directory)))
    return concerns && !speaksOfNeeded(top, alone.root, alone) ? [asGlob(rule)] : []
  })
}

function speaksOfBelow({ level, mayRevealBelow, uniformBelow }: PathState): boolean {
  return uniformBelow === null ? level > NONE || mayRevealBelow : uniformBelow > NONE
}

function speaksOfNeeded(need: Need, state: PathState, alone: Policy): boolean {
  for (const child of need.children.values()) {
    const at = alone.step(state, child.name)
    if (at.level > NONE && child.level > NONE) return true
    if ((at.level > NONE || at.mayRevealBelow) && speaksOfNeeded(child, at, alone)) return true
  }
  return false
}

/** Over all that allows something. */
function asGlob({ pattern, type, priority = 0 }: Rule): Rule {
  const glob = type === 'glob' ? pattern : literalPattern(pattern, type === 'directory' ? 'tree' : 'self')
  return { pattern: glob, type: 'glob', level: 'none', priority: Math.max(1, priority) }
}

/** Nothing that was not used gets more than it had. */
function restrict(raised: readonly Raised[], top: Need, rules: readonly Rule[]): Rule[] {
  const priority = rules.reduce((highest, rule) => Math.max(highest, rule.priority ?? 0), 0) + 1
  const groups = new Map<string, { directory: ByteString; level: Level; names: ByteString[] }>()
  for (const { path, directory, name, before, after } of raised) {
    if ((needAt(top, path)?.level ?? NONE) >= after) continue
    const key = `${before} ${directory}`
    const group = groups.get(key) ?? { directory, level: before, names: [] }
    group.names.push(name)
    groups.set(key, group)
  }
  return [...groups.values()].flatMap(({ directory, level, names }) =>
    patternsFor(directory, names, 'self').map(
      (pattern): Rule => ({ pattern, type: 'glob', level: LEVEL_NAMES[level], priority }),
    ),
  )
}

function needAt(top: Need, path: ByteString): Need | undefined {
  return path.split('/').reduce<Need | undefined>((need, name) => need?.children.get(name), top)
}

function stateAt(policy: Policy, path: ByteString): PathState {
  return path.split('/').reduce((state, name) => (name === '' ? state : policy.step(state, name)), policy.root)
}

function* inexact(need: Need): Generator<Excess> {
  for (const child of need.children.values()) {
    if (child.level > NONE && !isExact(child.name)) yield { path: child.path, level: child.level, reason: 'name' }
    yield* inexact(child)
  }
}
