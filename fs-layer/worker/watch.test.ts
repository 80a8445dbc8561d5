import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createWatch } from './watch.ts'

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

function watched() {
  const seen: string[] = []
  return { seen, watch: createWatch(1000, { ask: () => seen.push('ask'), isStuck: () => seen.push('stuck') }) }
}

it('who answers none of four questions is stuck when the time is over, and told once', () => {
  const { seen, watch } = watched()
  watch.start()
  vi.advanceTimersByTime(1249)
  expect(seen).toEqual(['ask', 'ask', 'ask', 'ask'])
  vi.advanceTimersByTime(10_000)
  expect(seen).toEqual(['ask', 'ask', 'ask', 'ask', 'stuck'])
})

it('who says anything in time is not stuck', () => {
  const { seen, watch } = watched()
  watch.start()
  for (let second = 0; second < 10; second++) {
    vi.advanceTimersByTime(1000)
    watch.heard()
  }
  expect(seen).not.toContain('stuck')
})

it('nobody is asked when nothing is waited for', () => {
  const { seen, watch } = watched()
  watch.start()
  watch.stop()
  vi.advanceTimersByTime(10_000)
  expect(seen).toEqual([])
})
