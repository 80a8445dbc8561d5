import { describe, expect, it } from 'vitest'
import { Inode } from '../delta/inode.ts'
import { KnownNodes } from './known-nodes.ts'

describe('nodes that the kernel looks at', () => {
  it('are let go oldest first, once there are more than the bound', () => {
    const { nodes, asked } = recorded(32)
    for (let node = 1; node <= 33; node++) nodes.set(new Inode(node, null))
    expect(asked).toEqual([])
    nodes.set(new Inode(34, null))
    expect(asked).toEqual([[1, 2, 3, 4]])
  })

  it('are not asked for again before the others, when the kernel keeps them', () => {
    const { nodes, asked } = recorded(32)
    for (let node = 1; node <= 36; node++) nodes.set(new Inode(node, null))
    expect(asked).toEqual([
      [1, 2, 3, 4],
      [5, 6, 7, 8],
    ])
    expect(nodes.get(1)?.node).toBe(1)
  })

  it('are not asked for while those that went make room', () => {
    const { nodes, asked } = recorded(32)
    for (let node = 1; node <= 100; node++) {
      nodes.set(new Inode(node, null))
      if (node > 16) nodes.delete(node - 16)
    }
    expect(asked).toEqual([])
    expect(nodes.size).toBe(16)
  })
})

function recorded(maxNodes: number) {
  const asked: number[][] = []
  const nodes = new KnownNodes({ maxNodes })
  nodes.onCrowded = (oldest) => asked.push(oldest.map(({ node }) => node))
  return { nodes, asked }
}
