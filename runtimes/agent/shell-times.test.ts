import { describe, expect, it } from 'vitest'
import { parseShellTimes, timesBetween } from './shell-times.ts'

describe('what a shell says of its times', () => {
  it('is its own and its children’s together, with the decimal point of any locale', () => {
    expect(parseShellTimes(['0m0.132s 0m0.010s', '1m2.500s 0m0.001s'])).toEqual({
      cpuUserUs: 62_632_000,
      cpuSystemUs: 11_000,
    })
    expect(parseShellTimes(['0m0,50s 0m0,00s', '0m0.000000s 0m0.010000s'])).toEqual({
      cpuUserUs: 500_000,
      cpuSystemUs: 10_000,
    })
  })

  it('is not known where it is anything else', () => {
    for (const lines of [
      [],
      ['0m0.1s 0m0.1s'],
      ['0m0.1s 0m0.1s', '0m0.1s 0m0.1s', 'more'],
      ['user 0m0.1s', 'sys 0m0.1s'],
      ['-1m0.1s 0m0.1s', '0m0.1s 0m0.1s'],
      ['9999999999m0.1s 0m0.1s', '0m0.1s 0m0.1s'],
    ]) {
      expect(parseShellTimes(lines)).toBeUndefined()
    }
  })

  it('is never less than nothing from one look to the next', () => {
    const before = { cpuUserUs: 20, cpuSystemUs: 20 }
    expect(timesBetween(before, { cpuUserUs: 50, cpuSystemUs: 10 })).toEqual({ cpuUserUs: 30, cpuSystemUs: 0 })
  })
})
