import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MAX_BLOB_BYTES, MAX_NAME_BYTES, MAX_TARGET_BYTES } from './limits.ts'
import type { FileEntry, Tree, TreeEntry } from './objects.ts'
import { StoreError } from './store-error.ts'
import { decodeTree, encodeTree, findEntry, sumTree } from './tree.ts'

const byte = fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code))
const name = fc
  .string({ unit: byte, minLength: 1, maxLength: 40 })
  .filter((text) => !text.includes('/') && text !== '.' && text !== '..')
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'))
const base = {
  mode: fc.integer({ min: 0, max: 0o7777 }),
  mtime: fc.oneof(fc.integer(), fc.maxSafeInteger()).map((seconds) => seconds + 0),
  mtimeNsec: fc.integer({ min: 0, max: 999_999_999 }),
}
const entry: fc.Arbitrary<TreeEntry> = fc.oneof(
  fc.record({
    kind: fc.constant('file' as const),
    name,
    ...base,
    size: fc.integer({ min: 0, max: MAX_BLOB_BYTES }),
    hash,
  }),
  fc.record({
    kind: fc.constant('directory' as const),
    name,
    ...base,
    hash,
    inodes: fc.integer({ min: 1 }),
    bytes: fc.maxSafeNat(),
  }),
  fc.record({ kind: fc.constant('symlink' as const), name, ...base, target: fc.string({ unit: byte, minLength: 1 }) }),
)
const tree: fc.Arbitrary<Tree> = fc
  .uniqueArray(entry, { selector: (one) => one.name, maxLength: 30 })
  .map((entries) => ({ entries: entries.toSorted((a, b) => (a.name < b.name ? -1 : 1)) }))

const file: FileEntry = { kind: 'file', name: 'a', mode: 0o644, mtime: 1, mtimeNsec: 2, size: 3, hash: 'ab'.repeat(32) }
const one = (change: object): Tree => ({ entries: [{ ...file, ...change } as TreeEntry] })
const refusal = (act: () => unknown) => {
  try {
    act()
  } catch (error) {
    if (error instanceof StoreError) return error.code
    throw error
  }
  return 'accepted'
}

describe('the bytes of a tree', () => {
  it('come back as the tree they were made of', () => {
    fc.assert(fc.property(tree, (made) => void expect(decodeTree(encodeTree(made))).toEqual(made)))
  })

  it('are the only ones of that tree: what decodes encodes to the same bytes', () => {
    fc.assert(
      fc.property(tree, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 3 }), (made, changes) => {
        const bytes = encodeTree(made)
        for (const [at, value] of changes) bytes[at % bytes.length] = value
        let decoded: Tree
        try {
          decoded = decodeTree(bytes)
        } catch (error) {
          expect(error).toMatchObject({ name: 'StoreError', code: 'corrupt' })
          return
        }
        expect(encodeTree(decoded)).toEqual(bytes)
      }),
      { numRuns: 2000 },
    )
  })

  it('are refused where they are cut or followed by more', () => {
    fc.assert(
      fc.property(tree, fc.nat(), (made, cut) => {
        const bytes = encodeTree(made)
        expect(refusal(() => decodeTree(bytes.subarray(0, cut % bytes.length)))).toBe('corrupt')
        expect(refusal(() => decodeTree(Buffer.concat([bytes, Buffer.of(0)])))).toBe('corrupt')
      }),
    )
  })

  it('are refused where they are noise', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        expect(refusal(() => decodeTree(Buffer.from(noise)))).toBe('corrupt')
        expect(refusal(() => decodeTree(Buffer.concat([Buffer.of(0x54, 1, 1, 0, 0, 0), noise])))).toBe('corrupt')
      }),
    )
  })

  it('claim no more entries than a directory may have', () => {
    const bytes = Buffer.of(0x54, 1, 0xff, 0xff, 0xff, 0xff)
    expect(refusal(() => decodeTree(bytes))).toBe('corrupt')
  })
})

describe('a tree', () => {
  it.each([
    ['a name of 255 bytes', { name: 'n'.repeat(MAX_NAME_BYTES) }],
    ['a name with a newline, a backslash and a byte that is no UTF-8', { name: '\n\\\xff' }],
    ['a name of three dots', { name: '...' }],
    ['a time before 1970', { mtime: -1, mtimeNsec: 999_999_999 }],
    ['all permission bits', { mode: 0o7777 }],
    ['the largest file', { size: MAX_BLOB_BYTES }],
    ['a target of 4095 bytes', { kind: 'symlink', target: 't'.repeat(MAX_TARGET_BYTES) }],
  ])('may have %s', (_, change) => {
    const made = one(change)
    expect(decodeTree(encodeTree(made)).entries[0]).toMatchObject(change)
  })

  it.each([
    ['an empty name', { name: '' }],
    ['a name of 256 bytes', { name: 'n'.repeat(MAX_NAME_BYTES + 1) }],
    ['"." as a name', { name: '.' }],
    ['".." as a name', { name: '..' }],
    ['a slash in a name', { name: 'a/b' }],
    ['a NUL in a name', { name: 'a\0' }],
    ['a name that is no byte string', { name: '\u{100}' }],
    ['type bits in the mode', { mode: 0o10000 }],
    ['a negative mode', { mode: -1 }],
    ['a second of nanoseconds', { mtimeNsec: 1_000_000_000 }],
    ['half a second', { mtime: 0.5 }],
    ['a negative size', { size: -1 }],
    ['a size over the largest', { size: MAX_BLOB_BYTES + 1 }],
    ['a hash in capitals', { hash: 'AB'.repeat(32) }],
    ['a short hash', { hash: 'ab' }],
    ['an empty target', { kind: 'symlink', target: '' }],
    ['a target of 4096 bytes', { kind: 'symlink', target: 't'.repeat(MAX_TARGET_BYTES + 1) }],
    ['a NUL in a target', { kind: 'symlink', target: 'a\0b' }],
    ['a directory without an inode', { kind: 'directory', inodes: 0, bytes: 0 }],
    ['a directory of negative bytes', { kind: 'directory', inodes: 1, bytes: -1 }],
  ])('may not have %s', (_, change) => {
    expect(refusal(() => encodeTree(one(change)))).toBe('invalid')
  })

  it('has each name once, in the order of their bytes', () => {
    const named = (...names: string[]): Tree => ({ entries: names.map((text) => ({ ...file, name: text })) })
    expect(refusal(() => encodeTree(named('a', 'a')))).toBe('invalid')
    expect(refusal(() => encodeTree(named('b', 'a')))).toBe('invalid')
    expect(refusal(() => encodeTree(named('Z', 'a', 'a.b', 'ab', '\xff')))).toBe('accepted')
  })

  it('finds each entry by its name, and the place of one that is not there', () => {
    const entries = ['a', 'c', 'e'].map((text) => ({ ...file, name: text }))
    expect(['a', 'c', 'e'].map((text) => findEntry(entries, text))).toEqual([0, 1, 2])
    expect(['A', 'b', 'd', 'f'].map((text) => findEntry(entries, text))).toEqual([-1, -2, -3, -4])
  })

  it('is refused where its bytes are no exact number any more', () => {
    const huge: TreeEntry = { ...file, kind: 'directory', hash: file.hash, inodes: 1, bytes: Number.MAX_SAFE_INTEGER }
    expect(sumTree([huge])).toEqual({ inodes: 2, bytes: Number.MAX_SAFE_INTEGER })
    expect(refusal(() => sumTree([huge, file]))).toBe('limit')
  })
})
