import { createHash } from 'node:crypto'
import { type DescMessage, type MessageShape, toJson } from '@bufbuild/protobuf'
import type { Caller } from '../access/caller.ts'
import type { Serial } from '../concurrency/serial.ts'
import { invalid } from '../errors/croft-error.ts'

/** On the record of what was made, so that it is known for as long as that is there, after a restart too. */
export interface MadeBy {
  /** Of whoever chose the key: another owner's is another key. */
  readonly owner: string
  readonly key: string
  /** The type of the request: a fork and a sandbox made by itself have each their keys. */
  readonly type: string
  /** SHA-256 of the request. */
  readonly request: string
}

export interface Once<R extends DescMessage, T> {
  readonly schema: R
  readonly request: MessageShape<R> & { readonly idempotencyKey: string }
  readonly caller: Caller
  readonly maxKeyBytes: number
  readonly serial: Serial
  /** Of what has been made: those with the key. */
  readonly find: (
    hasKey: (made: { readonly madeBy?: MadeBy }) => boolean,
  ) => readonly (T & { readonly madeBy?: MadeBy })[]
  readonly make: (madeBy: MadeBy | undefined) => Promise<readonly T[]>
}

/**
 * What a request makes, made once: whoever sends it again with its key, because an answer was lost, gets what there is
 * already. Without a key it is made each time.
 */
export async function once<R extends DescMessage, T>(options: Once<R, T>): Promise<readonly T[]> {
  const { request, schema, caller, serial, find, make, maxKeyBytes } = options
  const { idempotencyKey: key } = request
  if (key === '') return await make(undefined)
  if (Buffer.byteLength(key) > maxKeyBytes) throw invalid('idempotency_key', `is longer than ${maxKeyBytes} bytes`)
  const { owner } = caller
  const type = schema.typeName
  const madeBy: MadeBy = { owner, key, type, request: hashOf(toJson(schema, request)) }
  return await serial.run(`${type} ${owner}\0${key}`, async () => {
    const found = find(({ madeBy: by }) => by?.key === key && by.owner === owner && by.type === type)
    if (found.some((made) => made.madeBy?.request !== madeBy.request)) {
      throw invalid('idempotency_key', 'was sent with another request before')
    }
    return found.length > 0 ? found : await make(madeBy)
  })
}

/** Whatever the order of the fields, and of the keys of maps, in which it came. */
function hashOf(json: unknown): string {
  const sorted = (_: string, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value
  return createHash('sha256').update(JSON.stringify(json, sorted)).digest('hex')
}
