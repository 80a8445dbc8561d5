import { expect, it } from 'vitest'
import { deferred } from './deferred.ts'
import { Serial } from './serial.ts'

it('work of one key follows one another, of another key does not wait', async () => {
  const serial = new Serial()
  const order: string[] = []
  const { promise: opened, resolve: open } = deferred<void>()
  const first = serial.run('a', async () => {
    await opened
    order.push('a1')
  })
  const second = serial.run('a', async () => void order.push('a2'))
  await serial.run('b', async () => void order.push('b'))
  open()
  await Promise.all([first, second])
  expect(order).toEqual(['b', 'a1', 'a2'])
})

it('a failure is told to whoever asked, and the next one runs all the same', async () => {
  const serial = new Serial()
  const first = serial.run('a', () => Promise.reject(new Error('no')))
  const second = serial.run('a', () => Promise.resolve('yes'))
  await expect(first).rejects.toThrow('no')
  await expect(second).resolves.toBe('yes')
})

it('idle waits for what was begun, failed or not', async () => {
  const serial = new Serial()
  const { promise: opened, resolve: open } = deferred<void>()
  let done = false
  const failing = serial.run('a', async () => {
    await opened
    done = true
    throw new Error('no')
  })
  const idle = serial.idle()
  open()
  await expect(failing).rejects.toThrow('no')
  await idle
  expect(done).toBe(true)
})
