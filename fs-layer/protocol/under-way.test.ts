import { expect, it } from 'vitest'
import { createIncoming, type Incoming } from './decode.ts'
import { createUnderWay, DEATHS_OF_ONE_REQUEST_MAX, UNDER_WAY_BYTES } from './under-way.ts'

function numbered(uniqueLow: number, uniqueHigh: number): Incoming {
  return Object.assign(createIncoming(64), { uniqueLow, uniqueHigh })
}

it('a request is tried again after so many deaths, and then not any more', () => {
  const memory = new SharedArrayBuffer(UNDER_WAY_BYTES)
  expect(createUnderWay(memory).begin(numbered(8, 1))).toBe(true)
  const again = numbered(8, 0x80000001)
  for (let death = 1; death < DEATHS_OF_ONE_REQUEST_MAX; death++) expect(createUnderWay(memory).begin(again)).toBe(true)
  const last = createUnderWay(memory)
  expect(last.begin(again)).toBe(false)
  expect(last.begin(numbered(9, 0x80000001))).toBe(true)
})

it('a request that has ended is under no suspicion, nor is one with its number that is not handed out again', () => {
  const memory = new SharedArrayBuffer(UNDER_WAY_BYTES)
  for (let death = 0; death < 9; death++) {
    const ended = createUnderWay(memory)
    expect(ended.begin(numbered(8, 0x80000001))).toBe(true)
    ended.end()
  }
  for (let death = 0; death < 9; death++) expect(createUnderWay(memory).begin(numbered(8, 1))).toBe(true)
})
