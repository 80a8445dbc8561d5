import { expect, it } from 'vitest'
import { CroftError } from '../errors/croft-error.ts'
import { pageOf } from './page.ts'

const all = Array.from({ length: 7 }, (_, index) => ({ sequence: index + 1 }))

function page(
  records: Iterable<{ sequence: number }>,
  pageSize: number,
  pageToken = '',
  matches = (_: { sequence: number }) => true,
) {
  return pageOf(records, { pageSize, pageToken, defaultSize: 2, maxSize: 4 }, matches)
}

function sequences(items: readonly { sequence: number }[]): number[] {
  return items.map(({ sequence }) => sequence)
}

it('pages follow one another without a gap and end with an empty token', () => {
  const first = page(all, 3)
  const second = page(all, 3, first.nextPageToken)
  const third = page(all, 3, second.nextPageToken)
  expect([first, second, third].flatMap(({ items }) => sequences(items))).toEqual([1, 2, 3, 4, 5, 6, 7])
  expect(third.nextPageToken).toBe('')
})

it('a page that ends with the last record is the last page', () => {
  expect(page(all.slice(0, 4), 4).nextPageToken).toBe('')
  expect(page(all.slice(0, 5), 4).nextPageToken).not.toBe('')
})

it('0 is the default and more than the maximum is the maximum', () => {
  expect(page(all, 0).items).toHaveLength(2)
  expect(page(all, 5).items).toHaveLength(4)
})

it('what is removed between two pages shifts nothing', () => {
  const { nextPageToken } = page(all, 3)
  const rest = all.filter(({ sequence }) => sequence !== 2 && sequence !== 3)
  expect(sequences(page(rest, 4, nextPageToken).items)).toEqual([4, 5, 6, 7])
})

it('the filter counts before the size does', () => {
  expect(sequences(page(all, 2, '', ({ sequence }) => sequence % 3 === 0).items)).toEqual([3, 6])
})

it.each(['x', 'YWZ0ZXI6', Buffer.from('after:-1').toString('base64url')])('the token %j is refused', (token) => {
  expect(() => page(all, 1, token)).toThrow(CroftError)
})

it('a negative size is refused', () => {
  expect(() => page(all, -1)).toThrow(/page_size/)
})
