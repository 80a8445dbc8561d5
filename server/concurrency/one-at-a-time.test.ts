import { expect, test } from 'vitest'
import { deferred } from './deferred.ts'
import { oneAtATime } from './one-at-a-time.ts'

test('who comes while one runs shares the next one, which begins after they came', async () => {
  const runs: ReturnType<typeof deferred<void>>[] = []
  const call = oneAtATime(() => {
    const run = deferred<void>()
    runs.push(run)
    return run.promise
  })
  const first = call()
  const [second, third] = [call(), call()]
  expect(runs.length).toBe(1)
  runs[0]?.resolve()
  await first
  await expect.poll(() => runs.length).toBe(2)
  const fourth = call()
  runs[1]?.resolve()
  await Promise.all([second, third])
  await expect.poll(() => runs.length).toBe(3)
  runs[2]?.resolve()
  await fourth
})

test('one that fails is the failure of those who wait for it, and of nobody after', async () => {
  let fails = true
  const call = oneAtATime(async () => {
    if (fails) throw new Error('no room')
  })
  await expect(call()).rejects.toThrow('no room')
  const running = call()
  const waiting = call()
  await expect(running).rejects.toThrow('no room')
  fails = false
  await waiting.catch(() => undefined)
  await call()
})
