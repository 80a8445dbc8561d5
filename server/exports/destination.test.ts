import { create } from '@bufbuild/protobuf'
import { describe, expect, test } from 'vitest'
import { ExportDestinationSchema } from '../../proto/index.ts'
import { parseDestination, pathOf, placeOf } from './destination.ts'

const ROOTS = ['/srv/exports', '/data/']
const parse = (path: string) =>
  parseDestination(
    create(ExportDestinationSchema, { destination: { case: 'file', value: { path, overwrite: false } } }),
    ROOTS,
  )
const job = {
  id: 'job_0123456789abcdef',
  source: 'sb_1',
  createdAtMs: Date.UTC(2026, 0, 2, 3, 4, 5),
  extension: '.tar',
}

describe('a destination', () => {
  test.each([
    ['/srv/exports/a/b.tar', '/srv/exports/a/b.tar'],
    ['/srv//exports/b.tar', '/srv/exports/b.tar'],
    ['/data/b.tar', '/data/b.tar'],
    ['/srv/exports/', '/srv/exports/sb_1-20260102T030405Z-cdef.tar'],
    ['/srv/exports/daily/', '/srv/exports/daily/sb_1-20260102T030405Z-cdef.tar'],
  ])('%s is the file %s', (path, file) => {
    expect(pathOf(placeOf(parse(path), job))).toBe(file)
  })

  test.each([
    ['/srv/exports'],
    ['srv/exports/x'],
    ['/srv/exports/../../etc/passwd'],
    ['/srv/exports/./x'],
    ['/srv/exports/a\nb'],
    ['/srv/exports/a\\b'],
    ['/srv/exports/a\0b'],
    [`/srv/exports/${'n'.repeat(216)}`],
    [`/srv/exports/${'n/'.repeat(2100)}`],
    [''],
  ])('%j is refused by the name of its field', (path) => {
    expect(() => parse(path)).toThrow('destination.file.path')
  })

  test.each(['/srv/exports2/x', '/srv/x', '/etc/passwd', '/'])('%s is below no root', (path) => {
    expect(() => parse(path)).toThrow(/exports.roots/)
  })
})
