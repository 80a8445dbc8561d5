import { expect, it } from 'vitest'
import { Undo } from './undo.ts'

it('goes back in reverse, through every step, and reports each failure', async () => {
  const undo = new Undo()
  const done: string[] = []
  undo.add(() => done.push('first'))
  undo.add(() => Promise.reject(new Error('second')))
  undo.add(() => done.push('third'))
  const failures: unknown[] = []
  await undo.run((error) => failures.push(error))
  expect(done).toEqual(['third', 'first'])
  expect(failures).toEqual([new Error('second')])
})

it('does nothing the second time', async () => {
  const undo = new Undo()
  let times = 0
  undo.add(() => {
    times += 1
  })
  await undo.run(() => undefined)
  await undo.run(() => undefined)
  expect(times).toBe(1)
})
