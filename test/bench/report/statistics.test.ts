import { expect, test } from 'vitest'
import { geometricMean, median, percentile } from './statistics.ts'

test('the median of an odd number of samples is the one in the middle, whatever their order', () => {
  expect(median([9, 1, 5])).toBe(5)
})

test('the median of an even number of samples lies half-way between the two in the middle', () => {
  expect(median([10, 1, 2, 4])).toBe(3)
})

test('a percentile is a sample that was measured', () => {
  const samples = Array.from({ length: 100 }, (_, at) => 100 - at)
  expect([percentile(samples, 50), percentile(samples, 95), percentile(samples, 100)]).toEqual([50, 95, 100])
  expect(percentile([7], 50)).toBe(7)
})

test('twice as slow and twice as fast have a geometric mean of 1', () => {
  expect(geometricMean([2, 0.5])).toBeCloseTo(1)
})

test('of nothing measured no figure is made up', () => {
  expect([median([]), percentile([], 50), geometricMean([])]).toEqual([NaN, NaN, NaN])
})
