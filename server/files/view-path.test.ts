import { describe, expect, it } from 'vitest'
import { parseEntryPath, parseUploadPath, parseViewPath, pathBytes, pathText } from './view-path.ts'

describe('a path of a view', () => {
  it.each([
    ['', ''],
    ['/', ''],
    ['a', 'a'],
    ['/a/b', 'a/b'],
    ['.hidden/..b/c..', '.hidden/..b/c..'],
    ['-rf/*', '-rf/*'],
  ])('%j is %j', (given, parsed) => {
    expect(parseViewPath(given, 'path')).toBe(parsed)
  })

  it('keeps bytes that are no UTF-8', () => {
    const bytes = Uint8Array.of(0x61, 0xff, 0xfe)
    expect(Buffer.from(pathBytes(parseViewPath(bytes, 'path')))).toEqual(Buffer.from(bytes))
  })

  it.each([
    ['../x', /`\.\.`/],
    ['a/../b', /`\.\.`/],
    ['a/..', /`\.\.`/],
    ['./a', /`\.`/],
    ['a//b', /empty name/],
    ['//a', /empty name/],
    ['a/', /empty name/],
    ['a\0b', /NUL/],
    ['x'.repeat(256), /255 bytes/],
    [`${'d/'.repeat(2048)}x`, /4096 bytes/],
  ])('%j is refused by the name of its field', (given, problem) => {
    expect(() => parseViewPath(given, 'the.field')).toThrow(problem)
    expect(() => parseViewPath(given, 'the.field')).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', field: 'the.field' }),
    )
  })

  it('a name of 255 bytes and a path of 4096 are taken', () => {
    expect(parseViewPath('x'.repeat(255), 'path')).toHaveLength(255)
    expect(parseViewPath(`/${'d/'.repeat(2047)}x`, 'path')).toHaveLength(4095)
    expect(parseViewPath(`${'d/'.repeat(2047)}xx`, 'path')).toHaveLength(4096)
  })

  it('counts bytes, not characters', () => {
    expect(() => parseViewPath('é'.repeat(128), 'path')).toThrow(/255 bytes/)
  })
})

it('an entry is never the root', () => {
  expect(() => parseEntryPath('', 'path')).toThrow(/missing/)
  expect(() => parseEntryPath('/', 'path')).toThrow(/root/)
})

it('an upload names its path without a leading slash', () => {
  expect(() => parseUploadPath('/etc/passwd', 'file_path')).toThrow(/leading slash/)
  expect(() => parseUploadPath('', 'file_path')).toThrow(/missing/)
  expect(parseUploadPath('src/é', 'file_path')).toBe('src/\u00c3\u00a9')
})

it('text has U+FFFD for what is no UTF-8', () => {
  expect(pathText('a\u00ff')).toBe('a\ufffd')
  expect(pathText('\u00c3\u00a9')).toBe('é')
})
