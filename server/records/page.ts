import { invalid } from '../errors/croft-error.ts'

export interface PageRequest {
  /** 0: the default. Over the maximum: the maximum. */
  readonly pageSize: number
  readonly pageToken: string
  readonly defaultSize: number
  readonly maxSize: number
}

export interface Page<T> {
  readonly items: T[]
  /** Empty on the last page. */
  readonly nextPageToken: string
}

/**
 * A token says after which record the next page begins, not how many to skip: what is made or removed between
 * two pages shifts nothing.
 */
export function pageOf<T extends { readonly sequence: number }>(
  inOrder: Iterable<T>,
  request: PageRequest,
  matches: (record: T) => boolean,
): Page<T> {
  if (request.pageSize < 0) throw invalid('page_size', 'must not be negative')
  const size = Math.min(request.pageSize === 0 ? request.defaultSize : request.pageSize, request.maxSize)
  const after = request.pageToken === '' ? 0 : sequenceOf(request.pageToken)

  const items: T[] = []
  for (const record of inOrder) {
    if (record.sequence <= after || !matches(record)) continue
    const last = items.at(-1)
    if (items.length === size && last !== undefined) return { items, nextPageToken: tokenOf(last.sequence) }
    items.push(record)
  }
  return { items, nextPageToken: '' }
}

function tokenOf(sequence: number): string {
  return Buffer.from(`after:${sequence}`).toString('base64url')
}

function sequenceOf(token: string): number {
  const match = /^after:(\d{1,15})$/.exec(Buffer.from(token, 'base64url').toString('latin1'))
  if (match === null) throw invalid('page_token', 'is not one that this server gave out')
  return Number(match[1])
}
