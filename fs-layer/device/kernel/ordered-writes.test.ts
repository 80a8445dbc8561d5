import { expect, it } from 'vitest'
import { createLanes } from './lanes.ts'
import { createOrderedWrites } from './ordered-writes.ts'
import { ENODEV } from './syscalls.ts'

function recorded(lanes: number) {
  const begun: [fd: number, text: string][] = []
  const ends: (() => void)[] = []
  const writes = createOrderedWrites((fd, bytes) => {
    begun.push([fd, bytes.toString()])
    return new Promise((resolve) => ends.push(() => resolve(0)))
  }, createLanes(lanes))
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  return { writes, begun, ends, turn }
}

it('writes to one descriptor wait for each other, those to another do not', async () => {
  const { writes, begun, ends, turn } = recorded(2)
  for (const text of ['a', 'b']) void writes.write(3, Buffer.from(text))
  void writes.write(4, Buffer.from('c'))
  await turn()
  expect(begun).toEqual([
    [3, 'a'],
    [4, 'c'],
  ])
  ends[0]?.()
  await turn()
  expect(begun.at(-1)).toEqual([3, 'b'])
})

it('what waits for a descriptor that is forgotten is never written, and its number can be used anew', async () => {
  const { writes, begun, ends, turn } = recorded(2)
  const [under, waiting] = [writes.write(3, Buffer.from('under way')), writes.write(3, Buffer.from('waiting'))]
  await turn()
  writes.forget(3)
  void writes.write(3, Buffer.from('of another file'))
  ends[0]?.()
  expect([await under, await waiting]).toEqual([0, ENODEV])
  ends[1]?.()
  await writes.settled(3)
  expect(begun).toEqual([
    [3, 'under way'],
    [3, 'of another file'],
  ])
})
