import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CappedOutput, outputText } from './output.ts'

describe('output up to a cap', () => {
  it('keeps exactly the cap and says that more came', () => {
    const output = new CappedOutput(5)
    output.add(Buffer.from('abc'))
    output.add(Buffer.from('de'))
    expect(output.truncated).toBe(false)
    output.add(Buffer.from('f'))
    expect(output.bytes().toString()).toBe('abcde')
    expect(output.truncated).toBe(true)
  })

  it('is the beginning of what came, whatever the pieces', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), fc.nat(40), (pieces, cap) => {
        const output = new CappedOutput(cap)
        for (const piece of pieces) output.add(Buffer.from(piece))
        const all = Buffer.concat(pieces)
        expect(output.bytes()).toEqual(all.subarray(0, cap))
        expect(output.truncated).toBe(all.length > cap)
      }),
    )
  })
})

describe('output as text', () => {
  it('is exact where it is UTF-8', () => {
    expect(outputText(Buffer.from('é€😀'), false, 100)).toEqual({ text: 'é€😀', bytes: undefined })
  })

  it('comes with its bytes where it is not', () => {
    const bytes = Buffer.from([0x61, 0xff])
    expect(outputText(bytes, false, 100)).toEqual({ text: 'a\ufffd', bytes })
  })

  it('a character that the cap cut in two is left out and is no reason for the bytes', () => {
    const whole = Buffer.from('ab😀')
    for (let cut = 3; cut < whole.length; cut++) {
      expect(outputText(whole.subarray(0, cut), true, 100)).toEqual({ text: 'ab', bytes: undefined })
    }
  })

  it('a character that the program itself left unfinished is told by the bytes', () => {
    const cut = Buffer.from('ab😀').subarray(0, 4)
    expect(outputText(cut, false, 100).bytes).toEqual(cut)
  })

  it('is never longer than the limit, and the bytes say what it lacks', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.boolean(), (data, truncated) => {
        const { text, bytes } = outputText(Buffer.from(data), truncated, 64)
        expect(Buffer.byteLength(text)).toBeLessThanOrEqual(64)
        if (bytes === undefined)
          expect(Buffer.from(data).subarray(0, Buffer.byteLength(text))).toEqual(Buffer.from(text))
        else expect(bytes).toEqual(Buffer.from(data))
      }),
    )
  })
})
