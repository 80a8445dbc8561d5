import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyRule, RULE_NAMES as NAMES } from '../../test/fixtures/any-rule.ts'
import { naiveLevel } from '../../test/fixtures/naive-level.ts'
import type { PathState } from './path-state.ts'
import { compilePolicy, type Policy } from './policy.ts'
import { PolicyError } from './policy-error.ts'
import { type Level, NONE, type Rule, WRITE } from './rule.ts'

describe('for any rules and paths', () => {
  it('a level is what a matcher of whole paths and a search through all rules give', () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 7 }), (rules) => {
        const policy = compilePolicy(rules)
        expect(levelsBy((path) => policy.levelOf(path))).toEqual(levelsBy((path) => naiveLevel(rules, path)))
      }),
      { numRuns: 300 },
    )
  })

  it('a pattern of any text is refused, or matches as the naive matcher says', () => {
    let taken = 0
    fc.assert(
      fc.property(anyText, (pattern) => {
        const rules: Rule[] = [{ pattern, type: 'glob', level: 'read' }]
        const policy = compiledOrRefused(rules)
        if (policy === null) return
        taken += 1
        expect(levelsBy((path) => policy.levelOf(path))).toEqual(levelsBy((path) => naiveLevel(rules, path)))
      }),
      { numRuns: 3000 },
    )
    expect(taken).toBeGreaterThan(300)
  })

  it('names of any bytes match as the naive matcher says', () => {
    const name = fc.stringMatching(/^[ab\x80\xc3\xff.-]{1,12}$/)
    fc.assert(
      fc.property(anyNamePattern, name, (pattern, path) => {
        const rules: Rule[] = [{ pattern, type: 'glob', level: 'read' }]
        expect(compilePolicy(rules).levelOf(path)).toBe(naiveLevel(rules, path))
      }),
      { numRuns: 3000 },
    )
  })

  it('what a state says of the paths below it is true of each of them', () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 7 }), (rules) => {
        const policy = compilePolicy(rules)
        for (const above of PATHS) {
          const state = stateAt(policy, above)
          const levels = new Set(SUFFIXES.map((below) => policy.levelOf(join(above, below))))
          if (state.level === NONE && !state.mayRevealBelow) expect(levels).toEqual(new Set([NONE]))
          if (!state.mayWriteBelow) expect(levels).not.toContain(WRITE)
          if (state.uniformBelow !== null) expect(levels).toEqual(new Set([state.uniformBelow]))
        }
      }),
      { numRuns: 150 },
    )
  })

  it('a move that never raises a level raises none', () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 7 }), (rules) => {
        const policy = compilePolicy(rules)
        for (const from of SHORT_PATHS) {
          const before = SUFFIXES_AND_SELF.map((below) => policy.levelOf(join(from, below)))
          for (const to of SHORT_PATHS) {
            if (policy.mayRaise(stateAt(policy, from), stateAt(policy, to)) === 'maybe') continue
            const raised = SUFFIXES_AND_SELF.find((below, at) => policy.levelOf(join(to, below)) > (before[at] ?? NONE))
            if (raised !== undefined) expect.fail(`${raised} below ${from} gains at ${to}`)
          }
        }
      }),
      { numRuns: 60 },
    )
  })
})

const PAIRS = NAMES.flatMap((one) => NAMES.map((other) => `${one}/${other}`))
const SHORT_PATHS = ['', ...NAMES, ...PAIRS]
const PATHS = [...SHORT_PATHS, ...PAIRS.flatMap((pair) => NAMES.map((name) => `${pair}/${name}`))]
const SUFFIXES = [...NAMES, ...PAIRS]
const SUFFIXES_AND_SELF = ['', ...SUFFIXES]

const anyText = fc
  .array(
    fc.constantFrom('a', 'b', '.', '/', '*', '**', '?', '[', ']', '{', '}', ',', '\\', '!', '-', '{a,', '[ab', '/**/'),
    {
      minLength: 1,
      maxLength: 8,
    },
  )
  .map((parts) => parts.join(''))
const anyNamePattern = fc
  .array(fc.constantFrom('a', 'b', '.', '?', '?', '*', '[!a]', '[a-b]', 'é', '-'), { minLength: 1, maxLength: 40 })
  .map((parts) => parts.join('').replaceAll(/\*+/g, '*'))
  .filter((pattern) => !/^\.{1,2}$/.test(pattern))

function levelsBy(levelOf: (path: string) => Level): Record<string, Level> {
  return Object.fromEntries(PATHS.map((path) => [path, levelOf(path)]))
}

function stateAt(policy: Policy, path: string): PathState {
  return path.split('/').reduce((state, name) => (name === '' ? state : policy.step(state, name)), policy.root)
}

function join(above: string, below: string): string {
  return above === '' || below === '' ? above + below : `${above}/${below}`
}

function compiledOrRefused(rules: readonly Rule[]): Policy | null {
  try {
    return compilePolicy(rules)
  } catch (error) {
    if (error instanceof PolicyError) return null
    throw error
  }
}
