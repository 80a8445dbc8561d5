import type { ByteString } from '../protocol/filesystem.ts'
import { Automaton } from './automaton.ts'
import { parsePattern } from './glob.ts'
import { MAX_POLICY_BYTES, MAX_PRIORITY, MAX_RULES, MIN_PRIORITY } from './limits.ts'
import type { PathState } from './path-state.ts'
import { PolicyError } from './policy-error.ts'
import { LEVEL_NAMES, type Level, type Rule } from './rule.ts'
import { type Claim, compareStrength } from './strength.ts'

/** Compiled rules. What they mean is written in docs/spec/policy.md. */
export interface Policy {
  /** Of the root directory. */
  readonly root: PathState
  /** The state of the entry `name` of a directory whose state is `state`. `name` is one name, not empty. */
  step(state: PathState, name: ByteString): PathState
  /** Names separated by `/`, relative to the root; a leading `/` may be there, and empty is the root. */
  levelOf(path: ByteString): Level
  /**
   * Whether moving what has the state `from` to where it has the state `to` could raise the level of it or of
   * anything below it. `never` is certain; `maybe` says only that the rules do not exclude it.
   */
  mayRaise(from: PathState, to: PathState): 'never' | 'maybe'
}

/** Throws a `PolicyError` that names the first bad rule. */
export function compilePolicy(rules: readonly Rule[]): Policy {
  if (rules.length > MAX_RULES) {
    throw new PolicyError('too-many-rules', {
      reason: `there are ${rules.length} rules; at most ${MAX_RULES} are allowed`,
    })
  }
  const claims = rules.flatMap(claimsOf)
  checkSize(claims)
  const automaton = new Automaton(claims.sort(compareStrength))
  return {
    root: automaton.root,
    step: (state, name) => automaton.step(state, name),
    levelOf: (path) => {
      const names = path.split('/').filter((name) => name !== '')
      return names.reduce<PathState>((state, name) => automaton.step(state, name), automaton.root).level
    },
    mayRaise: (from, to) => automaton.mayRaise(from, to),
  }
}

interface LevelClaim extends Claim {
  readonly level: Level
}

function claimsOf(rule: Rule, index: number): LevelClaim[] {
  const level = LEVELS_BY_NAME.get(rule.level)
  if (level === undefined) throw invalid(index, 'level', `it is none of ${LEVEL_NAMES.join(', ')}`)
  if (!PATTERN_TYPES.has(rule.type)) throw invalid(index, 'type', `it is none of ${[...PATTERN_TYPES].join(', ')}`)
  const priority = rule.priority ?? 0
  if (!Number.isInteger(priority) || priority < MIN_PRIORITY || priority > MAX_PRIORITY) {
    throw invalid(index, 'priority', `it is no whole number between ${MIN_PRIORITY} and ${MAX_PRIORITY}`)
  }
  const paths = parsePattern(rule.pattern, rule.type, index)
  return paths.map((path) => ({ priority, type: rule.type, path, index, level }))
}

const LEVELS_BY_NAME: ReadonlyMap<string, Level> = new Map(LEVEL_NAMES.map((name, level) => [name, level as Level]))
const PATTERN_TYPES: ReadonlySet<string> = new Set(['glob', 'directory', 'file'])

function invalid(index: number, field: string, reason: string): PolicyError {
  return new PolicyError('invalid-rule', { index, field, reason })
}

function checkSize(claims: readonly Claim[]): void {
  let bytes = 0
  for (const { path, index } of claims) {
    bytes += 1
    for (const { glob } of path.names) bytes += 1 + glob.key.length
    if (bytes > MAX_POLICY_BYTES) {
      const reason = `with it the patterns take more than ${MAX_POLICY_BYTES} bytes, their braces written out`
      throw new PolicyError('policy-too-large', { index, reason })
    }
  }
}
