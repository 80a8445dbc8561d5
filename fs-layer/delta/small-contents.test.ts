import { expect, it } from 'vitest'
import { Inode } from './inode.ts'
import { SmallContents } from './small-contents.ts'

function inode(node: number, isDirty: boolean): Inode {
  const made = new Inode(node, null)
  made.inlineDirty = isDirty
  return made
}

it('what is put stays at hand for its caller, though all else is on its way to disk and there is no room', () => {
  const small = new SmallContents({ maxBytes: 10 })
  small.put(inode(1, true), Buffer.alloc(10))
  const loaded = inode(2, false)
  small.put(loaded, Buffer.alloc(5))
  expect(loaded.inline).toHaveLength(5)
  const next = inode(3, false)
  small.put(next, Buffer.alloc(5))
  expect([loaded.inline, next.inline?.length]).toEqual([null, 5])
})
