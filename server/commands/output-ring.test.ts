import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ExecOutput_OutputType as Output } from '../../proto/index.ts'
import { OutputRing } from './output-ring.ts'

const MAX_BYTES = 65_536

/** All that is kept from a cursor on, and how much before it is not. */
function readAll(ring: OutputRing, cursor = 0) {
  const pieces: { type: Output; text: string }[] = []
  let lost = 0
  let at = cursor
  for (let piece = ring.read(at); piece !== undefined; piece = ring.read(at)) {
    lost += piece.start - at
    pieces.push({ type: piece.type, text: piece.data.toString('latin1') })
    at = piece.end
  }
  return { pieces, text: pieces.map(({ text }) => text).join(''), lost, at }
}

describe('the output that is kept of a command', () => {
  it('is read from any cursor on', () => {
    const ring = new OutputRing(MAX_BYTES)
    ring.add(Output.STDOUT, Buffer.from('abc'))
    ring.add(Output.STDERR, Buffer.from('de'))
    ring.add(Output.STDOUT, Buffer.from('f'))
    expect([0, 2, 3, 4, 6].map((cursor) => readAll(ring, cursor).text)).toEqual(['abcdef', 'cdef', 'def', 'ef', ''])
    expect(readAll(ring).pieces.map(({ type }) => type)).toEqual([Output.STDOUT, Output.STDERR, Output.STDOUT])
    expect([ring.start, ring.end]).toEqual([0, 6])
  })

  it('that fits to the byte is all there, and one byte more costs the oldest piece, which is told', () => {
    const ring = new OutputRing(MAX_BYTES)
    // Four chunks of 16 KiB with what each costs.
    const fits = MAX_BYTES - 4 * 256
    ring.add(Output.STDOUT, Buffer.alloc(fits, 'x'))
    expect(readAll(ring)).toMatchObject({ lost: 0, at: fits })
    ring.add(Output.STDOUT, Buffer.from('y'))
    expect(readAll(ring)).toMatchObject({ lost: 16_384, at: fits + 1 })
    expect(readAll(ring).text.endsWith('xy')).toBe(true)
  })

  it('is the newest, whatever pieces it comes in, and every byte is either given or told to be lost', () => {
    const pieces = fc.array(
      fc.record({
        type: fc.constantFrom(Output.STDOUT, Output.STDERR),
        length: fc.oneof(fc.nat({ max: 5 }), fc.nat({ max: 40_000 })),
      }),
      { maxLength: 60 },
    )
    fc.assert(
      fc.property(pieces, fc.nat(), (written, where) => {
        const ring = new OutputRing(MAX_BYTES)
        const all: Buffer[] = []
        for (const [index, { type, length }] of written.entries()) {
          const data = Buffer.alloc(length, index)
          ring.add(type, data)
          all.push(data)
        }
        const whole = Buffer.concat(all).toString('latin1')
        const cursor = where % (whole.length + 1)
        const { text, lost, at } = readAll(ring, cursor)
        expect(at).toBe(whole.length)
        expect(text).toBe(whole.slice(cursor + lost))
        expect(ring.end - ring.start).toBeLessThanOrEqual(MAX_BYTES)
      }),
    )
  })

  it('of single bytes in turn to both streams takes no more room than the limit', () => {
    const ring = new OutputRing(MAX_BYTES)
    for (let at = 0; at < 10_000; at++) ring.add(at % 2 === 0 ? Output.STDOUT : Output.STDERR, Buffer.from('x'))
    expect(readAll(ring).pieces.length).toBe(Math.floor(MAX_BYTES / 257))
    expect(ring.end).toBe(10_000)
  })
})
