import { expect, it } from 'vitest'
import { HeldNodes } from './held-nodes.ts'

it('what is left behind is what was held', () => {
  const left = new Map<number, SharedArrayBuffer>()
  const estate = { keep: (piece: number, memory: SharedArrayBuffer) => left.set(piece, memory), drop: () => undefined }
  const held = new HeldNodes(estate, new Map())
  const nodes = [1, 31, 32, 33, 32767, 32768, 5_000_000, 2 ** 40]
  for (const node of [...nodes, 7, 2 ** 41]) held.add(node)
  for (const node of [7, 2 ** 41, 99_999_999]) held.delete(node)
  expect([...new HeldNodes(estate, left).values()]).toEqual(nodes)
})
