import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Liveness } from './liveness.ts'

const ANSWER_MAX_MS = 10_000
const SILENCE_MAX_MS = 60_000

let pings: number
let silent: string[]
let liveness: Liveness

beforeEach(() => {
  vi.useFakeTimers()
  pings = 0
  silent = []
  liveness = new Liveness(
    { answerMaxMs: ANSWER_MAX_MS, silenceMaxMs: SILENCE_MAX_MS },
    { ping: () => pings++, onSilent: (message) => silent.push(message) },
  )
})

afterEach(() => {
  liveness[Symbol.dispose]()
  vi.useRealTimers()
})

it('an agent that is asked may be silent for as long as it has to answer, pinged meanwhile, and no longer', async () => {
  liveness.asked()
  await vi.advanceTimersByTimeAsync(ANSWER_MAX_MS - 1)
  expect([pings, silent]).toEqual([1, []])
  await vi.advanceTimersByTimeAsync(2)
  expect(silent).toEqual(['it did not answer within 10 s'])
})

it('one that nobody asks is pinged, and may be silent for its time and no longer', async () => {
  await vi.advanceTimersByTimeAsync(SILENCE_MAX_MS - 1)
  expect([pings, silent]).toEqual([3, []])
  await vi.advanceTimersByTimeAsync(2)
  expect(silent).toEqual(['it has been silent for 60 s'])
})

it('whatever it says is an answer', async () => {
  for (let turn = 0; turn < 20; turn++) {
    liveness.asked()
    await vi.advanceTimersByTimeAsync(ANSWER_MAX_MS - 1)
    liveness.heard()
  }
  expect(silent).toEqual([])
})

it('what was read in the last moment counts: we may have been the slow ones', () => {
  liveness.asked()
  vi.advanceTimersByTime(ANSWER_MAX_MS)
  // Between the timer and its judgement the sockets are read; and the next question may be asked at once.
  liveness.heard()
  vi.advanceTimersByTime(0)
  liveness.asked()
  vi.runOnlyPendingTimers()
  expect(silent).toEqual([])
})

it('one that was not asked is not judged: it is we who were held up', async () => {
  liveness.asked()
  // Nothing ran here in all that time, no timer and no ping.
  const now = performance.now()
  const clock = vi.spyOn(performance, 'now').mockReturnValue(now + 10 * SILENCE_MAX_MS)
  await vi.advanceTimersByTimeAsync(ANSWER_MAX_MS / 2)
  clock.mockRestore()
  expect([pings, silent]).toEqual([1, []])
})

it('is quiet when it is over', async () => {
  liveness.asked()
  liveness[Symbol.dispose]()
  await vi.advanceTimersByTimeAsync(10 * SILENCE_MAX_MS)
  expect([pings, silent]).toEqual([0, []])
})
