import { expect, it } from 'vitest'
import { Idle } from './idle.ts'

it('only a whole stretch without anybody is idleness', () => {
  let now = 0
  let busy = false
  let ended = 0
  const idle = new Idle({ idleExitMs: 10, isBusy: () => busy, nowMs: () => now, onIdle: () => ended++ })
  const at = (ms: number, isBusy: boolean) => {
    now = ms
    busy = isBusy
    idle.check()
    return ended
  }
  expect(at(9, false)).toBe(0)
  expect(at(9.5, true)).toBe(0)
  expect(at(19, false)).toBe(0)
  expect(at(19.5, false)).toBe(1)
})
