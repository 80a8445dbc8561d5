import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IN_HEADER_BYTES } from '../../protocol/constants.ts'
import { createMessages } from './messages.ts'

const MAX_BYTES = 1000

function message(length: number, fill = 7): Buffer {
  const bytes = Buffer.alloc(length, fill)
  bytes.writeUInt32LE(length, 0)
  return bytes
}

describe('a stream of messages', () => {
  it('gives the same messages however it is cut', () => {
    const lengths = fc.array(fc.integer({ min: IN_HEADER_BYTES, max: MAX_BYTES }), { minLength: 1, maxLength: 20 })
    const cuts = fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1 })
    fc.assert(
      fc.property(lengths, cuts, (lengths, cuts) => {
        const sent = lengths.map((length, index) => message(length, index))
        const stream = Buffer.concat(sent)
        const messages = createMessages(MAX_BYTES)
        const into = Buffer.alloc(MAX_BYTES)
        const got: Buffer[] = []
        for (let at = 0, cut = 0; at < stream.length; cut++) {
          const next = at + (cuts[cut % cuts.length] as number)
          messages.push(stream.subarray(at, next))
          at = next
          for (let length = messages.next(into); length !== 0; length = messages.next(into))
            got.push(Buffer.from(into.subarray(0, length)))
        }
        expect(got).toEqual(sent)
      }),
    )
  })

  it.each([
    ['the longest that is allowed', MAX_BYTES, MAX_BYTES],
    ['one byte more than is allowed', MAX_BYTES + 1, -1],
    ['4 GiB', 0xffffffff, -1],
    ['a header and nothing else', IN_HEADER_BYTES, IN_HEADER_BYTES],
    ['less than a header', IN_HEADER_BYTES - 1, -1],
    ['nothing', 0, -1],
  ])('that announces %s: %i is answered by %i', (_, announced, answer) => {
    const messages = createMessages(MAX_BYTES)
    const bytes = Buffer.alloc(MAX_BYTES)
    bytes.writeUInt32LE(announced, 0)
    messages.push(bytes)
    expect(messages.next(Buffer.alloc(MAX_BYTES))).toBe(answer)
  })
})
