import { describe, expect, it } from 'vitest'
import { Automaton } from './automaton.ts'
import { parsePattern } from './glob.ts'
import { MAX_CACHED_WORDS } from './limits.ts'
import type { PathState } from './path-state.ts'
import { NONE, READ } from './rule.ts'

/** More than one step may add: the largest state of the tests and its signature. */
const ONE_STEP_WORDS = 200

function automatonOf(patterns: string[]): Automaton {
  return new Automaton(patterns.flatMap((text) => parsePattern(text, 'glob', 0).map((path) => ({ path, level: READ }))))
}

/** The highest number of words on the way. */
function walk(automaton: Automaton, paths: Iterable<string[]>): number {
  let highest = 0
  for (const names of paths) {
    names.reduce<PathState>((state, name) => automaton.step(state, name), automaton.root)
    highest = Math.max(highest, automaton.words)
  }
  return highest
}

describe('what an automaton remembers stays within its bound', () => {
  it('however many sets of positions the paths reach', () => {
    const automaton = automatonOf([`**/a${'/?'.repeat(13)}/x`])
    const paths = Array.from({ length: 2 ** 13 }, (_, number) =>
      Array.from(number.toString(2).padStart(13, '0'), (digit) => (digit === '1' ? 'a' : 'b')),
    )
    const highest = walk(automaton, paths)
    expect(highest).toBeGreaterThan(MAX_CACHED_WORDS / 2)
    expect(highest).toBeLessThan(MAX_CACHED_WORDS + 13 * ONE_STEP_WORDS)
  })

  it('however many sets of patterns the names match', () => {
    const letters = 'abcdefghijklmnop'
    const automaton = automatonOf(Array.from(letters, (letter) => `**/*${letter}*`))
    const paths = Array.from({ length: 2 ** letters.length }, (_, subset) => [
      `-${Array.from(letters, (letter, bit) => ((subset >> bit) & 1 ? letter : '')).join('')}`,
    ])
    const highest = walk(automaton, paths)
    expect(highest).toBeGreaterThan(MAX_CACHED_WORDS / 2)
    expect(highest).toBeLessThan(MAX_CACHED_WORDS + ONE_STEP_WORDS)
    expect(automaton.step(automaton.root, '-abc').level).toBe(READ)
    expect(automaton.step(automaton.root, '-').level).toBe(NONE)
  })

  it('and is nothing at all where the rules tell no paths apart', () => {
    const automaton = automatonOf(['**'])
    const before = automaton.words
    walk(automaton, [['a', 'b', 'c'], ['d']])
    expect(automaton.words).toBe(before)
  })
})
