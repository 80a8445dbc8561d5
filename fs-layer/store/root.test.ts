import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hashBytes } from './hash.ts'
import type { Root } from './objects.ts'
import { decodeRoot, encodeRoot } from './root.ts'

const root: fc.Arbitrary<Root> = fc
  .record({
    mode: fc.integer({ min: 0, max: 0o7777 }),
    mtime: fc.integer(),
    mtimeNsec: fc.integer({ min: 0, max: 999_999_999 }),
    tree: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex')),
    inodes: fc.integer({ min: 1 }),
    bytes: fc.maxSafeNat(),
    files: fc.nat(),
  })
  .map((made) => ({ ...made, files: made.files % made.inodes }))

const plain: Root = { mode: 0o755, mtime: 0, mtimeNsec: 0, tree: '00'.repeat(32), inodes: 1, bytes: 0, files: 0 }

describe('the bytes of a root', () => {
  it('come back as the root they were made of', () => {
    fc.assert(fc.property(root, (made) => void expect(decodeRoot(encodeRoot(made))).toEqual(made)))
  })

  it('are the only ones of that root: what decodes encodes to the same bytes', () => {
    fc.assert(
      fc.property(root, fc.nat({ max: 71 }), fc.nat({ max: 255 }), (made, at, value) => {
        const bytes = encodeRoot(made)
        bytes[at] = value
        let decoded: Root
        try {
          decoded = decodeRoot(bytes)
        } catch (error) {
          expect(error).toMatchObject({ code: 'corrupt' })
          return
        }
        expect(encodeRoot(decoded)).toEqual(bytes)
      }),
      { numRuns: 1000 },
    )
  })

  it('stay what they are from one version to the next', () => {
    expect(hashBytes(encodeRoot(plain))).toBe('cd47a0ce33dba5750909bdc811ce8269df74ca9833dfe73b62fac9bc7ebe7719')
  })

  it.each([
    ['a mode with type bits', { mode: 0o40755 }],
    ['a malformed hash', { tree: 'zz' }],
    ['no inode', { inodes: 0 }],
    ['as many files as inodes', { inodes: 2, files: 2 }],
    ['negative bytes', { bytes: -1 }],
  ])('are not made with %s', (_, change) => {
    expect(() => encodeRoot({ ...plain, ...change })).toThrow(expect.objectContaining({ code: 'invalid' }))
  })
})
