import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PathState } from './path-state.ts'
import { compilePolicy, type Policy } from './policy.ts'
import { PolicyError } from './policy-error.ts'
import { LEVEL_NAMES, type Level, NONE, type Rule, WRITE } from './rule.ts'

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

const NAMES = ['a', 'b', 'ab', '.a', '{']
const PAIRS = NAMES.flatMap((one) => NAMES.map((other) => `${one}/${other}`))
const SHORT_PATHS = ['', ...NAMES, ...PAIRS]
const PATHS = [...SHORT_PATHS, ...PAIRS.flatMap((pair) => NAMES.map((name) => `${pair}/${name}`))]
const SUFFIXES = [...NAMES, ...PAIRS]
const SUFFIXES_AND_SELF = ['', ...SUFFIXES]

const anyName = fc.constantFrom(
  ...['a', 'b', 'ab', '.a', '*', '**', '?', '*b', 'a*', '?*', '[ab]', '[!a]', '*[b-c]'],
  ...['{a,b}', '{a,**}', '{a,b/c}', '{a,b/**}', '.{a,b*}', '{a,{b,?}}', '\\a', 'a{,b}'],
)
const anyPattern = fc
  .tuple(fc.boolean(), fc.array(anyName, { minLength: 1, maxLength: 4 }))
  .map(([rooted, names]) => `${rooted ? '/' : ''}${names.join('/')}`)
const anyLiteral = fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 }).map((names) => names.join('/'))
const level = fc.constantFrom(...LEVEL_NAMES)
const priority = fc.constantFrom(0, 0, 0, 1, -1)
const anyRule: fc.Arbitrary<Rule> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ type: fc.constant('glob'), pattern: anyPattern, level, priority }) },
  fc.record({ type: fc.constantFrom('file', 'directory'), pattern: anyLiteral, level, priority }),
)
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

// From here on, what the rules mean, written for clarity alone and without a look at the code under test.

function naiveLevel(rules: readonly Rule[], path: string): Level {
  let best: { weight: number[]; level: Level } | null = null
  for (const [index, rule] of rules.entries()) {
    for (const pattern of rule.type === 'glob' ? writtenOut(rule.pattern) : [rule.pattern]) {
      if (!naiveMatch(rule, pattern, path)) continue
      const weight = [
        rule.priority ?? 0,
        { glob: 0, directory: 1, file: 2 }[rule.type],
        ...specificity(rule, pattern),
        index,
      ]
      if (best === null || isHeavier(weight, best.weight))
        best = { weight, level: LEVEL_NAMES.indexOf(rule.level) as Level }
    }
  }
  return best === null ? NONE : best.level
}

function isHeavier(weight: number[], than: number[]): boolean {
  const difference = weight.map((number, at) => number - (than[at] ?? 0)).find((number) => number !== 0)
  return difference !== undefined && difference > 0
}

function naiveMatch(rule: Rule, pattern: string, path: string): boolean {
  const literal = Buffer.from(pattern).toString('latin1')
  if (rule.type === 'file') return path === literal
  if (rule.type === 'directory') return path === literal || path.startsWith(`${literal}/`)
  return namesMatch(namesOf(literal), path === '' ? [] : path.split('/'))
}

function namesOf(pattern: string): string[] {
  return pattern.replace(/^\//, '').split('/')
}

function namesMatch([pattern, ...patterns]: string[], names: string[]): boolean {
  if (pattern === undefined) return names.length === 0
  if (pattern === '**') return names.some((_, at) => namesMatch(patterns, names.slice(at))) || namesMatch(patterns, [])
  const [name, ...rest] = names
  return name !== undefined && nameMatches(pattern, name) && namesMatch(patterns, rest)
}

function nameMatches(pattern: string, name: string): boolean {
  const [sign] = pattern
  if (sign === undefined) return name === ''
  if (sign === '*') return nameMatches(pattern.slice(1), name) || (name !== '' && nameMatches(pattern, name.slice(1)))
  if (name === '') return false
  if (sign === '?') return nameMatches(pattern.slice(1), name.slice(1))
  if (sign === '[') {
    const length = classLength(pattern)
    return classHas(pattern.slice(1, length - 1), name.charAt(0)) && nameMatches(pattern.slice(length), name.slice(1))
  }
  const literal = sign === '\\' ? pattern.slice(1) : pattern
  return literal.charAt(0) === name.charAt(0) && nameMatches(literal.slice(1), name.slice(1))
}

function classLength(pattern: string): number {
  return /^\[[!^]?(?:\\.|[^\\])(?:\\.|[^\]\\])*\]/.exec(pattern)?.[0].length ?? Number.NaN
}

function classHas(body: string, byte: string): boolean {
  const negated = /^[!^]/.test(body)
  const members = negated ? body.slice(1) : body
  const ranges = [...members.matchAll(/(\\.|[^\\])-(\\.|[^\\])|(\\.|[^\\])/gs)].map(([, from, to, single]) => [
    from ?? single,
    to ?? single,
  ])
  const unescaped = (text: string | undefined) => text?.at(-1) ?? ''
  return negated !== ranges.some(([from, to]) => unescaped(from) <= byte && byte <= unescaped(to))
}

/** Braces by text alone: the first group is replaced by each of its alternatives, and so on. */
function writtenOut(pattern: string): string[] {
  const open = positionsOutside(pattern, '{')[0]
  if (open === undefined) return [pattern]
  let depth = 0
  const cuts: number[] = []
  for (const at of positionsOutside(pattern, '{,}').filter((position) => position >= open)) {
    if (pattern[at] === '{') depth += 1
    if (pattern[at] === '}') depth -= 1
    if (depth === 0 || (depth === 1 && pattern[at] !== '}')) if (pattern[at] !== '{' || at === open) cuts.push(at)
    if (depth === 0) break
  }
  const tail = pattern.slice((cuts.at(-1) ?? 0) + 1)
  return cuts.slice(1).flatMap((end, number) => {
    const alternative = pattern.slice((cuts[number] ?? 0) + 1, end)
    return writtenOut(pattern.slice(0, open) + alternative + tail)
  })
}

/** Where one of `signs` stands unescaped and outside a class. */
function positionsOutside(pattern: string, signs: string): number[] {
  const found: number[] = []
  for (let at = 0; at < pattern.length; at += 1) {
    if (pattern[at] === '\\') at += 1
    else if (pattern[at] === '[') at += classLength(pattern.slice(at)) - 1
    else if (signs.includes(pattern.charAt(at))) found.push(at)
  }
  return found
}

function specificity(rule: Rule, pattern: string): number[] {
  const names = namesOf(Buffer.from(pattern).toString('latin1'))
  if (rule.type !== 'glob') return [names.length, names.join('').length, names.length, 0, 0, 0]
  const signs = names.map((name) =>
    [...name.matchAll(/\\.|\[[!^]?(?:\\.|[^\\])(?:\\.|[^\]\\])*\]|\*\*|./gs)].map(([sign]) => sign),
  )
  const isWild = (sign: string) =>
    sign === '*' || sign === '?' || sign === '**' || (sign.length > 1 && sign.startsWith('['))
  const all = signs.flat()
  return [
    signs.filter((name) => !name.some(isWild)).length,
    all.filter((sign) => !isWild(sign)).length,
    names.filter((name) => name !== '**').length,
    // A run of ** means what one means.
    -names.filter((name, at) => name === '**' && names[at - 1] !== '**').length,
    -all.filter((sign) => sign === '*').length,
    -all.filter((sign) => sign === '?').length,
  ]
}
