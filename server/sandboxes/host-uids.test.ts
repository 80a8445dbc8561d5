import { expect, it } from 'vitest'
import { HostUids } from './host-uids.ts'

it('every user of the range is given once, then none', () => {
  const uids = new HostUids({ first: 100_000, last: 100_004 })
  const taken = Array.from({ length: 5 }, () => uids.take())
  expect(taken.toSorted()).toEqual([100_000, 100_001, 100_002, 100_003, 100_004])
  expect(() => uids.take()).toThrow(expect.objectContaining({ code: 'RESOURCE_EXHAUSTED' }))
})

it('one that was given back is free again', () => {
  const uids = new HostUids({ first: 100_000, last: 100_000 })
  const uid = uids.take()
  uids.give(uid)
  expect(uids.take()).toBe(uid)
})
