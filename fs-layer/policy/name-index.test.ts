import { describe, expect, it } from 'vitest'
import { parsePattern } from './glob.ts'
import { MAX_CACHED_NAMES, MIN_CACHED_COMPARISONS } from './limits.ts'
import type { NameGlob } from './name-glob.ts'
import { NameIndex } from './name-index.ts'

function globsOf(patterns: readonly string[]): NameGlob[] {
  return patterns.flatMap((pattern) =>
    parsePattern(pattern, 'glob', 0).flatMap(({ names }) => names.map(({ glob }) => glob)),
  )
}

/** The patterns, with how often one of them was compared with a name. */
function counted(patterns: readonly string[]): { globs: NameGlob[]; comparisons: () => number } {
  let count = 0
  const globs = globsOf(patterns).map((glob) => ({
    ...glob,
    matches: (name: string) => {
      count += 1
      return glob.matches(name)
    },
  }))
  return { globs, comparisons: () => count }
}

describe('a name index', () => {
  it('finds patterns by their first byte, by their last, and those that have neither', () => {
    const index = new NameIndex(globsOf(['a*', '*b', '*c*', 'abc', '?b', '[a]*']))
    const matched = (name: string) => [...index.signatureOf(name).matched].toSorted((a, b) => a - b)
    expect(matched('abc')).toEqual([0, 2, 3, 5])
    expect(matched('ab')).toEqual([0, 1, 4, 5])
    expect(matched('xb')).toEqual([1, 4])
    expect(matched('x')).toEqual([])
  })

  it('gives equal sets as one object', () => {
    const index = new NameIndex(globsOf(['a*', '*b', '*c*']))
    expect(index.signatureOf('a1b')).toBe(index.signatureOf('a2b'))
    expect(index.signatureOf('x')).toBe(index.signatureOf('y'))
    expect(index.signatureOf('a1')).not.toBe(index.signatureOf('b'))
  })

  it('compares a name with no pattern that cannot end or begin like it', () => {
    const { globs, comparisons } = counted(['*.key', '*.pem', 'id_*', 'secrets', '.git'])
    const index = new NameIndex(globs)
    for (const name of ['main.ts', 'package.json', 'secrets', '.git']) index.signatureOf(name)
    expect(comparisons()).toBe(0)
  })

  it('compares a name once with many patterns while it is in use, however many others come', () => {
    const patterns = Array.from({ length: MIN_CACHED_COMPARISONS }, (_, number) => `*${number}*`)
    const { globs, comparisons } = counted(patterns)
    const index = new NameIndex(globs)
    index.signatureOf('kept')
    for (let number = 0; number < 3 * MAX_CACHED_NAMES; number += 1) {
      index.signatureOf(`other-${number}`)
      index.signatureOf('kept')
    }
    expect(comparisons()).toBe((1 + 3 * MAX_CACHED_NAMES) * patterns.length)
  })

  it('holds no signatures when it has forgotten', () => {
    const index = new NameIndex(globsOf(['a*', '*b', '*c*']))
    const empty = index.words
    index.signatureOf('acb')
    expect(index.words).toBeGreaterThan(empty)
    index.forget()
    expect(index.words).toBe(empty)
    expect([...index.signatureOf('acb').matched].toSorted()).toEqual([0, 1, 2])
  })
})
