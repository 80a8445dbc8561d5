import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { Journal, readJournal } from './journal.ts'
import { JournalMemory } from './journal-memory.ts'
import { JOURNAL_FULL_BYTES, JOURNAL_PIECE_BYTES, JOURNAL_SPARE_PIECES_MAX } from './limits.ts'
import type { Operation } from './operations.ts'

const put = (key: string, value: Buffer): Operation => ({ type: 'put', key: Buffer.from(key), value })
const del = (key: string): Operation => ({ type: 'del', key: Buffer.from(key) })

/** Megabytes are compared by their digest. */
const brief = (operation: Operation) => [
  operation.type,
  operation.key.toString(),
  operation.type === 'put' ? createHash('sha256').update(operation.value).digest('hex') : '',
]

function journal() {
  const pieces = new Map<number, SharedArrayBuffer>()
  const estate = {
    keep: (piece: number, memory: SharedArrayBuffer) => pieces.set(piece, memory),
    drop: (piece: number) => pieces.delete(piece),
  }
  const memory = new JournalMemory()
  return { pieces, estate, memory, journal: new Journal({ estate, memory }, new Map()) }
}

describe('what a journal leaves behind', () => {
  it('is the last record of each key and the last reply, in pieces of any size', () => {
    const { pieces, journal: one } = journal()
    const large = Buffer.alloc(JOURNAL_PIECE_BYTES + 1, 7)
    one.add([put('a', Buffer.from('1')), put('b', Buffer.alloc(0)), put('large', large)], Buffer.from('reply 1'))
    one.add([put('a', Buffer.from('2')), del('b')], Buffer.from('reply 2'))
    for (let n = 0; n < 3; n++) one.add([put(`n${n}`, Buffer.alloc(JOURNAL_PIECE_BYTES / 2, n))], null)
    const { operations, reply } = readJournal(pieces)
    expect(reply?.toString()).toBe('reply 2')
    expect(operations.map(brief)).toEqual(
      [
        put('a', Buffer.from('2')),
        del('b'),
        put('large', large),
        ...[0, 1, 2].map((n) => put(`n${n}`, Buffer.alloc(JOURNAL_PIECE_BYTES / 2, n))),
      ].map(brief),
    )
  })

  it('has nothing of an entry that was not finished', () => {
    const { pieces, journal: one } = journal()
    one.add([put('a', Buffer.from('whole'))], null)
    const [memory = new SharedArrayBuffer(0)] = pieces.values()
    const end = Buffer.from(memory).readUInt32LE(0)
    Buffer.from(memory).fill(0xff, end)
    expect(readJournal(pieces)).toEqual({ operations: [put('a', Buffer.from('whole'))], reply: null })
  })

  it('is without what was released, and with what came after the mark', () => {
    const { pieces, journal: one } = journal()
    one.add([put('a', Buffer.from('1'))], null)
    const mark = one.mark()
    one.add([put('b', Buffer.from('2'))], null)
    one.release(mark)
    one.add([put('c', Buffer.from('3'))], null)
    expect(readJournal(pieces).operations).toEqual([put('b', Buffer.from('2')), put('c', Buffer.from('3'))])
  })

  it('goes on in the next thread with later pieces', () => {
    const { pieces, estate, memory, journal: one } = journal()
    one.add([put('a', Buffer.from('1'))], null)
    new Journal({ estate, memory }, pieces).add([put('a', Buffer.from('2'))], null)
    expect(readJournal(pieces).operations).toEqual([put('a', Buffer.from('2'))])
  })
})

it('journals use the memory of others again, and nothing of what was in it', () => {
  const { pieces, estate, memory, journal: one } = journal()
  one.add([put('a', Buffer.alloc(1000, 1))], null)
  const [first] = pieces.values()
  one.release(one.mark())
  expect(pieces.size).toBe(0)
  new Journal({ estate, memory }, new Map()).add([put('b', Buffer.from('2'))], null)
  expect([...pieces.values()]).toEqual([first])
  expect(readJournal(pieces)).toEqual({ operations: [put('b', Buffer.from('2'))], reply: null })
})

it('no more memory is kept than so many pieces', () => {
  const memory = new JournalMemory()
  const taken = Array.from({ length: JOURNAL_SPARE_PIECES_MAX + 1 }, () => memory.take())
  for (const each of taken) memory.give(each)
  const again = taken.map(() => memory.take())
  expect(again.filter((each) => taken.includes(each))).toHaveLength(JOURNAL_SPARE_PIECES_MAX)
})

it('a journal is full beyond its bound, and not any more when it is released', () => {
  const { journal: one } = journal()
  const chunk = JOURNAL_PIECE_BYTES / 4
  for (let bytes = 0; bytes < JOURNAL_FULL_BYTES - 2 * JOURNAL_PIECE_BYTES; bytes += chunk)
    one.add([put('a', Buffer.alloc(chunk - 100))], null)
  expect(one.isFull).toBe(false)
  one.add([put('a', Buffer.alloc(3 * JOURNAL_PIECE_BYTES))], null)
  expect(one.isFull).toBe(true)
  one.release(one.mark())
  expect(one.isFull).toBe(false)
})
