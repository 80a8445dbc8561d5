import { expect, test } from 'vitest'
import { DEFAULT_RUNS, MAX_RUNS, parseOptions, SUITES, UsageError } from './options.ts'

test('without words every suite runs, five times each', () => {
  expect(parseOptions([])).toMatchObject({ suites: SUITES, runs: DEFAULT_RUNS, quick: false })
  expect(parseOptions(['all']).suites).toEqual(SUITES)
})

test('suites that are named run alone, in the order of the table', () => {
  expect(parseOptions(['policy', 'fs']).suites).toEqual(['fs', 'policy'])
})

test('a quick run is one run, unless their number is given', () => {
  expect(parseOptions(['--quick']).runs).toBe(1)
  expect(parseOptions(['--quick', '--runs', '3']).runs).toBe(3)
})

test('a number of runs beyond its bounds is refused by name', () => {
  expect(parseOptions(['--runs', String(MAX_RUNS)]).runs).toBe(MAX_RUNS)
  for (const bad of ['0', String(MAX_RUNS + 1), '2.5', 'many', '']) {
    expect(() => parseOptions([`--runs=${bad}`])).toThrow(/--runs/)
  }
})

test('a suite, a variant or a flag that does not exist is refused by name', () => {
  expect(() => parseOptions(['--variant', 'overlay'])).toThrow(/--variant overlay/)
  expect(() => parseOptions(['filesystem'])).toThrow(UsageError)
  expect(() => parseOptions(['filesystem'])).toThrow(/filesystem/)
  expect(() => parseOptions(['--fast'])).toThrow(/--fast/)
})
