import { createHash } from 'node:crypto'
import { z } from 'zod'

/** What is told of one event, beside its place in the chain. */
export interface AuditEvent {
  readonly [key: string]: string | number | readonly string[] | undefined
}

/** The end of a chain so far. */
export interface Head {
  /** Of the last line; the first one has 1. */
  readonly n: number
  readonly hash: string
}

export const BEGINNING: Head = { n: 0, hash: '0'.repeat(64) }

/** A line has the hash of the one before, and of all that stands before it in itself: so each vouches for all before it. */
export function lineAfter({ n, hash }: Head, atMs: number, event: AuditEvent): { line: string; head: Head } {
  const fields = { n: n + 1, at: new Date(atMs).toISOString(), ...event, prev: hash }
  const said = JSON.stringify(fields).slice(0, -1)
  const own = hashOf(said)
  return { line: `${said},"hash":"${own}"}\n`, head: { n: n + 1, hash: own } }
}

const placeSchema = z.looseObject({ n: z.int().min(1), prev: z.string(), hash: z.string() })

/** The place of a line in the chain, or why it cannot be one of ours. */
export function readLine(line: string): { readonly head: Head; readonly prev: string } | string {
  let parsed: unknown
  try {
    parsed = JSON.parse(line)
  } catch {
    return 'it is no JSON'
  }
  const { data } = placeSchema.safeParse(parsed)
  if (data === undefined) return 'it has no place in a chain'
  const end = line.lastIndexOf(',"hash":"')
  if (line.slice(end) !== `,"hash":"${data.hash}"}` || hashOf(line.slice(0, end)) !== data.hash) {
    return 'it is not as it was written'
  }
  return { head: { n: data.n, hash: data.hash }, prev: data.prev }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
