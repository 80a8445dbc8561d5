import { describe, expect, it } from 'vitest'
import { MAX_POLICY_BYTES, MAX_PRIORITY, MAX_RULES, MIN_PRIORITY } from './limits.ts'
import type { PathState } from './path-state.ts'
import { compilePolicy, type Policy } from './policy.ts'
import { LEVEL_NAMES, type LevelName, NONE, type PatternType, READ, type Rule, VIEW, WRITE } from './rule.ts'

const glob = (pattern: string, level: LevelName, priority?: number) => rule('glob', pattern, level, priority)
const directory = (pattern: string, level: LevelName, priority?: number) => rule('directory', pattern, level, priority)
const file = (pattern: string, level: LevelName, priority?: number) => rule('file', pattern, level, priority)

function rule(type: PatternType, pattern: string, level: LevelName, priority?: number): Rule {
  return priority === undefined ? { type, pattern, level } : { type, pattern, level, priority }
}

function stateAt(policy: Policy, path: string): PathState {
  return path.split('/').reduce((state, name) => (name === '' ? state : policy.step(state, name)), policy.root)
}

function levelOf(rules: Rule[], path: string): LevelName {
  return LEVEL_NAMES[compilePolicy(rules).levelOf(path)]
}

describe('of the rules that match a path', () => {
  it('none means that it is hidden', () => {
    expect(levelOf([], 'a')).toBe('none')
    expect(levelOf([glob('b', 'write')], 'a')).toBe('none')
    expect(levelOf([], '')).toBe('none')
  })

  it.each([
    ['the higher priority wins over everything else', [glob('**', 'none', 1), file('a/b', 'write')], 'none'],
    ['a negative priority loses to none given', [file('a/b', 'write', -1), glob('**', 'read')], 'read'],
    ['a file wins over a directory', [file('a/b', 'read'), directory('a/b', 'write')], 'read'],
    ['a directory wins over a glob', [directory('a', 'read'), glob('a/b', 'write')], 'read'],
    ['the deeper directory wins', [directory('a/b', 'read'), directory('a', 'write')], 'read'],
    ['more literal names win', [glob('a/**', 'read'), glob('**', 'write')], 'read'],
    ['more literal names win over more literal bytes', [glob('a/*', 'read'), glob('?/[!x]*b', 'write')], 'read'],
    ['more literal bytes win', [glob('*/b*', 'read'), glob('*/*', 'write')], 'read'],
    ['more names win', [glob('*/*', 'read'), glob('*/**', 'write')], 'read'],
    ['fewer ** win', [glob('*/*', 'read'), glob('**/*/*', 'write')], 'read'],
    ['fewer * win', [glob('a/?', 'read'), glob('a/*', 'write')], 'read'],
    ['fewer ? win', [glob('a/[b]', 'read'), glob('a/?', 'write')], 'read'],
    ['each alternative has a weight of its own', [glob('{a/b,**}', 'read'), glob('a/*', 'write')], 'read'],
    ['and a weak one stays weak', [glob('{x/y,**}', 'write'), glob('a/*', 'read')], 'read'],
  ] as [string, Rule[], LevelName][])('%s', (_, rules, level) => {
    expect(levelOf(rules, 'a/b')).toBe(level)
    expect(levelOf(rules.toReversed(), 'a/b')).toBe(level)
  })

  it.each([
    ['globs', glob('a/*', 'read'), glob('*/b', 'write')],
    ['equal globs', glob('a/*', 'read'), glob('/a/*', 'none')],
    ['directories', directory('a', 'read'), directory('/a/', 'write')],
    ['files', file('a/b', 'write'), file('/a/b', 'none')],
  ])('the later of two equally strong %s wins', (_, one, other) => {
    expect(levelOf([one, other], 'a/b')).toBe(other.level)
    expect(levelOf([other, one], 'a/b')).toBe(one.level)
  })
})

describe('a state', () => {
  it('reveals a hidden directory only where a visible path may lie below', () => {
    const policy = compilePolicy([file('a/b/c', 'read'), glob('d/*', 'none'), glob('e/**/*.md', 'view')])
    const reveals = ['', 'a', 'a/b', 'a/b/c', 'a/x', 'd', 'd/x', 'e', 'e/x', 'e/x.md', 'f']
    expect(reveals.filter((path) => stateAt(policy, path).mayRevealBelow)).toEqual(['', 'a', 'a/b', 'e', 'e/x'])
  })

  it('reveals nothing below where a stronger rule hides all of it', () => {
    const policy = compilePolicy([glob('**', 'read'), glob('**/secrets/**', 'none', 100), file('secrets/a', 'read')])
    expect(stateAt(policy, 'secrets')).toMatchObject({ level: NONE, mayRevealBelow: false, uniformBelow: NONE })
    const opened = compilePolicy([glob('**/secrets/**', 'none', 100), file('secrets/a', 'read', 100)])
    expect(stateAt(opened, 'secrets')).toMatchObject({ level: NONE, mayRevealBelow: true, uniformBelow: null })
    expect(stateAt(opened, 'secrets/b')).toMatchObject({ mayRevealBelow: false, uniformBelow: NONE })
  })

  it('of a visible path does not say that it reveals', () => {
    expect(compilePolicy([glob('**', 'read')]).root.mayRevealBelow).toBe(false)
  })

  it.each(['**', '**/*', '*/**', '{**/*,x}'])('knows that %s takes all that lies below the root', (pattern) => {
    const policy = compilePolicy([glob('a/b', 'write'), glob(pattern, 'none', 1)])
    expect(policy.root).toMatchObject({ mayRevealBelow: false, mayWriteBelow: false, uniformBelow: NONE })
  })

  it('knows that */*/** leaves the names of the root out', () => {
    expect(compilePolicy([glob('a', 'write'), glob('*/*/**', 'none', 1)]).root.mayWriteBelow).toBe(true)
  })

  it('says where writing may be possible', () => {
    const policy = compilePolicy([glob('**', 'read'), glob('out/**', 'write'), glob('out/log/**', 'read')])
    expect(['', 'src', 'out', 'out/log'].filter((path) => stateAt(policy, path).mayWriteBelow)).toEqual(['', 'out'])
  })

  it('is uniform where rules differ in nothing but their weight', () => {
    const policy = compilePolicy([glob('**', 'read'), glob('src/**', 'read'), glob('**/*.ts', 'read')])
    expect(policy.root.uniformBelow).toBe(READ)
    expect(policy.step(policy.root, 'src')).toBe(policy.step(policy.root, 'lib'))
  })

  it('is one object for all directories that the rules treat alike', () => {
    const policy = compilePolicy([glob('**', 'write'), glob('**/*.key/**', 'none', 1)])
    expect(stateAt(policy, 'a/b/c')).toBe(policy.root)
    expect(stateAt(policy, 'x.key')).toBe(stateAt(policy, 'y.key/z'))
  })

  it('of one policy is refused by another', () => {
    const rules = [glob('**', 'read'), glob('a', 'none')]
    const [one, other] = [compilePolicy(rules), compilePolicy(rules)]
    expect(() => one.step(other.root, 'a')).toThrow(TypeError)
    expect(() => one.mayRaise(one.root, other.root)).toThrow(TypeError)
  })

  it('stays good when the policy has forgotten what it had learnt', () => {
    // Each subset of these positions is a state of its own: far more than are remembered.
    const policy = compilePolicy([glob(`**/a${'/?'.repeat(14)}/x`, 'write'), glob('**/y', 'view')])
    const kept = stateAt(policy, `a${'/b'.repeat(14)}`)
    for (let number = 0; number < 2 ** 14; number += 1) {
      const path = number.toString(2).replaceAll('1', 'a').replaceAll('0', 'b').split('').join('/')
      expect(policy.levelOf(`${path}/y`)).toBe(VIEW)
    }
    expect(policy.step(kept, 'x').level).toBe(WRITE)
    expect(policy.step(kept, 'y').level).toBe(VIEW)
    expect(stateAt(policy, `a${'/b'.repeat(14)}/x`).level).toBe(WRITE)
  })

  it('is right for more names than are remembered', () => {
    const rules = Array.from({ length: 20 }, (_, number) => glob(`**/*${number}`, number % 2 ? 'read' : 'view'))
    const policy = compilePolicy(rules)
    for (const round of ['a', 'b', 'a']) {
      for (let number = 100; number < 10_100; number += 1) {
        // The longer of two endings that fit has more literal bytes.
        const ending = number % 100 < 20 && number % 100 > 9 ? number % 100 : number % 10
        expect(policy.levelOf(`${round}${number}`)).toBe(ending % 2 ? READ : VIEW)
      }
    }
  })
})

describe('a move', () => {
  const rules = [
    glob('**', 'read'),
    glob('{output,tmp}/**', 'write'),
    glob('locked/secret', 'none'),
    glob('**/.env/**', 'none', 100),
  ]
  const policy = compilePolicy(rules)

  it.each([
    ['a/b', 'c', 'never'],
    ['output/a', 'tmp/b', 'never'],
    ['output/a', 'a', 'never'],
    ['a', 'output/a', 'maybe'],
    ['.env', 'a', 'maybe'],
    ['a', '.env', 'never'],
    ['locked', 'a', 'maybe'],
    ['a', 'locked', 'never'],
    ['output', 'locked', 'never'],
  ])('from %s to %s may raise a level: %s', (from, to, answer) => {
    expect(policy.mayRaise(stateAt(policy, from), stateAt(policy, to))).toBe(answer)
  })
})

describe('rules are refused', () => {
  it('with a level, type or priority that is none', () => {
    const bad = (field: string, value: unknown) => () =>
      compilePolicy([glob('a', 'read'), { ...glob('b', 'read'), [field]: value }])
    for (const value of ['READ', '', undefined, 3, '__proto__']) {
      expect(bad('level', value)).toThrow(expect.objectContaining({ code: 'invalid-rule', index: 1, field: 'level' }))
    }
    for (const value of ['regex', undefined, 'toString']) {
      expect(bad('type', value)).toThrow(expect.objectContaining({ code: 'invalid-rule', index: 1, field: 'type' }))
    }
    for (const value of [0.5, Number.NaN, '1', MAX_PRIORITY + 1, MIN_PRIORITY - 1]) {
      expect(bad('priority', value)).toThrow(expect.objectContaining({ code: 'invalid-rule', field: 'priority' }))
    }
    expect(bad('pattern', 7)).toThrow(expect.objectContaining({ code: 'invalid-rule', field: 'pattern' }))
    expect(bad('priority', MAX_PRIORITY)).not.toThrow()
    expect(bad('priority', MIN_PRIORITY)).not.toThrow()
  })

  it('over their number', () => {
    const rules = Array.from({ length: MAX_RULES }, (_, number) => file(`f${number}`, 'read'))
    expect(levelOf(rules, `f${MAX_RULES - 1}`)).toBe('read')
    expect(() => compilePolicy([...rules, file('one-more', 'read')])).toThrow(
      expect.objectContaining({ code: 'too-many-rules' }),
    )
  })

  it('over their bytes, all together', () => {
    // Each name takes its byte and one more, each pattern one more.
    const path = (names: number) => 'a/'.repeat(names).slice(0, -1)
    const rules = Array.from({ length: 64 }, () => file(path(511), 'read'))
    const rest = MAX_POLICY_BYTES - 64 * (511 * 2 + 1) - 1 - 1
    expect(levelOf([...rules, file('b'.repeat(rest), 'read')], 'b'.repeat(rest))).toBe('read')
    expect(() => compilePolicy([...rules, file('b'.repeat(rest + 1), 'read')])).toThrow(
      expect.objectContaining({ code: 'policy-too-large', index: 64 }),
    )
  })
})
