import { describe, expect, it } from 'vitest'
import { MAX_ALTERNATIVES, MAX_BRACE_DEPTH, MAX_NAME_BYTES, MAX_PATTERN_BYTES } from './limits.ts'
import { compilePolicy } from './policy.ts'
import { PolicyError } from './policy-error.ts'
import { NONE, type PatternType } from './rule.ts'

const bytes = (text: string) => Buffer.from(text).toString('latin1')

function matches(pattern: string, path: string, type: PatternType = 'glob'): boolean {
  return compilePolicy([{ pattern, type, level: 'read' }]).levelOf(path) !== NONE
}

function refusal(pattern: string, type: PatternType = 'glob'): PolicyError {
  try {
    compilePolicy([
      { pattern: '**', type: 'glob', level: 'read' },
      { pattern, type, level: 'read' },
    ])
  } catch (error) {
    if (error instanceof PolicyError) return error
    throw error
  }
  throw new Error(`${JSON.stringify(pattern)} was taken`)
}

describe('a glob', () => {
  it.each([
    // pattern, what it matches, what it does not
    ['*.md', ['a.md', '.md'], ['a/b.md', 'a.mdx', 'md', '']],
    ['/*.md', ['a.md'], ['a/b.md']],
    ['**/*.md', ['a.md', 'a/b.md', 'a/b/c.md'], ['a.md/b', '']],
    ['**', ['', 'a', 'a/b', '.a/.b'], []],
    ['**/*', ['a', 'a/b'], ['']],
    ['*', ['a', '.a'], ['', 'a/b']],
    ['*/**', ['a', 'a/b', 'a/b/c'], ['']],
    ['/d/**', ['d', 'd/a', 'd/a/b'], ['', 'e', 'dd', 'a/d']],
    ['d/**', ['d', 'd/a'], ['']],
    ['d/*', ['d/a'], ['d', 'd/a/b']],
    ['**/x', ['x', 'a/x', 'a/b/x'], ['x/a', '']],
    ['a/**/b', ['a/b', 'a/x/b', 'a/x/y/b', 'a/b/b'], ['a', 'b', 'a/b/x']],
    ['a/**/b/**/c', ['a/b/c', 'a/x/b/y/z/c', 'a/b/b/c/c'], ['a/c', 'a/b', 'a/c/b']],
    ['**/a/**/b/**', ['a/b', 'x/a/y/b/z', 'a/b/c'], ['b/a', 'a']],
    ['**/**', ['', 'a', 'a/b'], []],
    ['a/**/**/b', ['a/b', 'a/x/b'], ['a']],
    ['a?', ['ab', 'a.', 'a\xff'], ['a', 'abc', 'a/']],
    ['?*', ['a', 'ab'], ['']],
    ['a*b', ['ab', 'axb', 'abb'], ['a', 'b', 'aba', 'a/b']],
    ['*a*b*', ['ab', 'xaxbx', 'bab'], ['ba', 'a', 'b']],
    ['a*a', ['aa', 'aba'], ['a']],
    ['[ab]c', ['ac', 'bc'], ['cc', 'c', 'abc']],
    ['[a-c]', ['a', 'b', 'c'], ['d', '-']],
    ['[a-]', ['a', '-'], ['b']],
    ['[-a]', ['a', '-'], ['b']],
    ['[!a]', ['b', '!', '\xff'], ['a', '']],
    ['[^a]', ['b', '^'], ['a']],
    ['[]a]', [']', 'a'], ['b']],
    ['[!]a]', ['b'], [']', 'a']],
    ['[a^!]', ['a', '^', '!'], ['b']],
    ['[\\]]', [']'], ['\\']],
    ['[a\\-c]', ['a', '-', 'c'], ['b']],
    ['[[]', ['['], ['a']],
    ['[{,}]', ['{', ',', '}'], ['a']],
    ['[*?]', ['*', '?'], ['a']],
    ['a]b', ['a]b'], []],
    ['{a,b}', ['a', 'b'], ['a,b', '{a,b}']],
    ['{a,b/c}', ['a', 'b/c'], ['b', 'a/c']],
    ['x{a,b{c,d}}y', ['xay', 'xbcy', 'xbdy'], ['xby', 'xy']],
    ['a{,.bak}', ['a', 'a.bak'], ['a.']],
    ['{src,test}/**', ['src', 'test/a'], ['lib']],
    ['{a,**}/b', ['a/b', 'b', 'x/y/b'], ['a']],
    ['{/a,b}', ['a', 'b'], []],
    ['a,b', ['a,b'], ['a', 'b']],
    ['\\*', ['*'], ['a']],
    ['\\{a,b\\}', ['{a,b}'], ['a']],
    ['\\[a]', ['[a]'], ['a']],
    ['\\\\', ['\\'], []],
    ['a\\b', ['ab'], ['a\\b']],
    ['...', ['...'], []],
    ['.*', ['.a', '...'], ['a']],
  ] as [string, string[], string[]][])('%s matches what the page says and nothing else', (pattern, yes, no) => {
    expect({
      matched: [...yes, ...no].filter((path) => matches(pattern, path)),
    }).toEqual({ matched: yes })
  })

  it('compares bytes, so that upper and lower case and the Unicode forms differ', () => {
    expect(matches('README', 'readme')).toBe(false)
    const composed = 'caf\u00e9'
    const decomposed = 'cafe\u0301'
    expect(matches(composed, bytes(composed))).toBe(true)
    expect(matches(composed, bytes(decomposed))).toBe(false)
    expect(matches('caf?', bytes(composed))).toBe(false)
    expect(matches('caf??', bytes(composed))).toBe(true)
    expect(matches('caf{é,è}', bytes('cafè'))).toBe(true)
  })

  it('matches names that are no UTF-8', () => {
    expect(matches('*.txt', '\xff\xfe.txt')).toBe(true)
    expect(matches('a[!b]c', 'a\x80c')).toBe(true)
    expect(matches('é', '\xe9')).toBe(false)
  })

  it('follows names of 255 bytes and patterns as long without going back', () => {
    const name = 'a'.repeat(MAX_NAME_BYTES)
    expect(matches('a*'.repeat(255), name)).toBe(true)
    expect(matches(`${'a*'.repeat(254)}b`, name)).toBe(false)
    expect(matches(`${'*?'.repeat(254)}*a`, name)).toBe(true)
    expect(matches(`${'?'.repeat(254)}b`, name)).toBe(false)
    expect(matches(`${'?'.repeat(31)}*a`, 'a'.repeat(32))).toBe(true)
    expect(matches(`${'?'.repeat(32)}*a`, 'a'.repeat(32))).toBe(false)
  })

  it('follows paths of 4096 bytes', () => {
    const path = Array.from({ length: 2048 }, () => 'a').join('/')
    expect(matches('**/a/**/a/**/a/**/a', path)).toBe(true)
    expect(matches('**/a/**/a/**/a/**/b', path)).toBe(false)
    expect(matches(path, path)).toBe(true)
  })
})

describe('a directory rule', () => {
  it.each([
    ['/src', ['src', 'src/a', 'src/a/b'], ['', 'srcs', 'a/src']],
    ['src/', ['src', 'src/a'], ['']],
    ['a/b', ['a/b', 'a/b/c'], ['a', 'a/c']],
    ['/', ['', 'a', 'a/b'], []],
    ['a*', ['a*', 'a*/b'], ['ab']],
    ['{a,b}', ['{a,b}'], ['a']],
    ['a\\b', ['a\\b'], ['ab']],
  ] as [string, string[], string[]][])('for %s takes the literal path and all below it', (pattern, yes, no) => {
    expect([...yes, ...no].filter((path) => matches(pattern, path, 'directory'))).toEqual(yes)
  })
})

describe('a file rule', () => {
  it.each([
    ['/a/b', ['a/b'], ['a', 'a/b/c', 'b']],
    ['[x]', ['[x]'], ['x']],
    ['**', ['**'], ['a', '']],
    ['é', [bytes('é')], ['é']],
  ] as [string, string[], string[]][])('for %s takes that literal path alone', (pattern, yes, no) => {
    expect([...yes, ...no].filter((path) => matches(pattern, path, 'file'))).toEqual(yes)
  })
})

describe('an invalid pattern is refused with its rule and place', () => {
  it.each([
    ['glob', '', 0],
    ['glob', '/', 0],
    ['glob', '//', 1],
    ['glob', 'a//b', 2],
    ['glob', 'a/', 1],
    ['glob', 'a/**/', 4],
    ['glob', '//a', 1],
    ['glob', '.', 0],
    ['glob', './a', 0],
    ['glob', 'a/../b', 2],
    ['glob', 'a/..', 2],
    ['glob', '\\.\\.', 1],
    ['glob', 'a\0b', 1],
    ['glob', 'a[b', 1],
    ['glob', 'a[', 1],
    ['glob', '[]', 0],
    ['glob', '[!]', 0],
    ['glob', '[a-', 0],
    ['glob', '[b-a]', 1],
    ['glob', '[a/b]', 2],
    ['glob', '[+-9]', 1],
    ['glob', '[[:alpha:]]', 1],
    ['glob', '[aé]', 2],
    ['glob', 'a{b', 1],
    ['glob', 'a{b,c', 1],
    ['glob', 'a}b', 1],
    ['glob', '{a}', 0],
    ['glob', '{}', 0],
    ['glob', '{1..3}', 0],
    ['glob', '{a,}', 0],
    ['glob', 'a/{b,}', 1],
    ['glob', 'a**', 1],
    ['glob', '**a', 0],
    ['glob', 'a/**b/c', 2],
    ['glob', 'a{b,**}', 4],
    ['glob', '***', 0],
    ['glob', '*{*,a}', 2],
    ['glob', 'a\\', 1],
    ['glob', 'a\\/b', 1],
    ['glob', 'a\ud800', 1],
    ['directory', '', 0],
    ['directory', 'a//', 2],
    ['directory', '//', 1],
    ['directory', 'a/../b', 2],
    ['directory', '.', 0],
    ['directory', 'a\0', 1],
    ['file', '/', 0],
    ['file', 'a/', 2],
    ['file', 'a//b', 2],
    ['file', '..', 0],
  ] as [PatternType, string, number][])('%s %j', (type, pattern, position) => {
    expect(refusal(pattern, type)).toMatchObject({ code: 'invalid-pattern', index: 1, pattern, position })
  })

  it('says the rule, the pattern, the place and what to write instead', () => {
    expect(refusal('src/**.ts').message).toBe(
      'rule 1, "src/**.ts", at 4: ** stands for whole names; nothing may touch it but /',
    )
  })
})

describe('a limit of patterns takes its own value and refuses one more', () => {
  const list = (count: number) => `{${Array.from({ length: count }, (_, number) => `n${number}`).join()}}`
  const nested = (depth: number) => `${'{a,'.repeat(depth)}b${'}'.repeat(depth)}`
  const pathOf = (length: number) => 'a/'.repeat(length).slice(0, length - 1)

  it('bytes of a pattern', () => {
    const longest = `${pathOf(MAX_PATTERN_BYTES)}a`
    expect(longest).toHaveLength(MAX_PATTERN_BYTES)
    expect(matches(longest, longest)).toBe(true)
    expect(refusal(`${longest}a`).position).toBe(0)
    expect(refusal(`é${longest.slice(1)}`).reason).toContain('4097 bytes')
  })

  it('alternatives of a pattern', () => {
    expect(matches(list(MAX_ALTERNATIVES), `n${MAX_ALTERNATIVES - 1}`)).toBe(true)
    expect(refusal(list(MAX_ALTERNATIVES + 1)).code).toBe('invalid-pattern')
    expect(refusal('{a,b}'.repeat(9)).reason).toContain('512')
    expect(refusal('{a,b}'.repeat(800)).code).toBe('invalid-pattern')
  })

  it('depth of braces', () => {
    expect(matches(nested(MAX_BRACE_DEPTH), 'b')).toBe(true)
    expect(refusal(nested(MAX_BRACE_DEPTH + 1)).code).toBe('invalid-pattern')
  })

  it.each(['glob', 'directory', 'file'] as const)('bytes of a name in a %s', (type) => {
    const longest = `${'é'.repeat(127)}a`
    expect(matches(longest, bytes(longest), type)).toBe(true)
    expect(refusal(`${longest}a`, type)).toMatchObject({ code: 'invalid-pattern', position: 0 })
  })
})
