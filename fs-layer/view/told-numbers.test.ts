import { describe, expect, it } from 'vitest'
import type { Hash } from '../store/objects.ts'
import { toldNumbers } from './told-numbers.ts'

const numbers = toldNumbers('a'.repeat(64) as Hash)

describe('numbers that are told', () => {
  it('lead back to those that are meant, each to one, and leave nothing and the root as they are', () => {
    const meant = [0, 1, 2, 3, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 48 + 5, 2 ** 53 - 1]
    for (let number = 4; number < 20_000; number++) meant.push(number)
    const told = meant.map(numbers.tell)
    expect(told.map(numbers.meant)).toEqual(meant)
    expect(new Set(told).size).toBe(new Set(meant).size)
    expect(told.slice(0, 2)).toEqual([0, 1])
    expect(Math.min(...told.slice(2))).toBeGreaterThan(1)
    expect(told.every((number) => Number.isSafeInteger(number))).toBe(true)
  })

  it('of neighbours are no neighbours, and are others for another base', () => {
    const others = toldNumbers('b'.repeat(64) as Hash)
    const first = Array.from({ length: 1000 }, (_, at) => at + 2)
    const near = first.filter((number) => Math.abs(numbers.tell(number + 1) - numbers.tell(number)) < 2 ** 16)
    expect(near.length).toBeLessThan(10)
    expect(first.filter((number) => numbers.tell(number) === others.tell(number))).toEqual([])
  })
})
