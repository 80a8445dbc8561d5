import { describe, expect, it } from 'vitest'
import { createLanes } from './lanes.ts'

describe('lanes', () => {
  it('never have more calls under way than there are lanes, and start them in order', async () => {
    const lanes = createLanes(2)
    const started: number[] = []
    const finish: (() => void)[] = []
    let underWay = 0
    let most = 0
    const all = Promise.all(
      [0, 1, 2, 3, 4].map((i) =>
        lanes.run(async () => {
          started.push(i)
          most = Math.max(most, ++underWay)
          await new Promise<void>((resolve) => finish.push(resolve))
          underWay--
        }),
      ),
    )
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setImmediate(resolve))
      finish[i]?.()
    }
    await all
    expect([started, most]).toEqual([[0, 1, 2, 3, 4], 2])
  })

  it('are free again after a call that failed', async () => {
    const lanes = createLanes(1)
    await expect(lanes.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(await lanes.run(async () => 'next')).toBe('next')
  })
})
