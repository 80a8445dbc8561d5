import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Store } from '../../fs-layer/store/store.ts'
import { TreeBuilder } from '../../fs-layer/store/tree-builder.ts'
import type { PutTreeRequest, PutTreeRequest_Start, PutTreeResponseSchema } from '../../proto/index.ts'
import type { Quotas } from '../access/quotas.ts'
import type { Limits } from '../config/limits.ts'
import { CroftError, invalid } from '../errors/croft-error.ts'
import { codebaseMessage } from './codebase-message.ts'
import type { Codebases } from './codebases.ts'
import { MissingBlobs } from './missing-blobs.ts'
import { addEntries } from './tree-entries.ts'

/** Hashes in one `missing` message: half a megabyte. */
const MAX_HASHES_PER_MESSAGE = 16_384

export interface PutTreeDependencies {
  readonly codebases: Codebases
  readonly store: Store
  readonly quotas: Pick<Quotas, 'check'>
  readonly limits: Limits
}

type Response = MessageInitShape<typeof PutTreeResponseSchema>

/**
 * A whole tree in one call. Memory grows with the entries of the tree and the hashes that are missing, never
 * with contents. What the client says about a blob is believed only where the store has checked it.
 */
export async function* putTree(
  requests: AsyncIterable<PutTreeRequest>,
  { codebases, store, quotas, limits }: PutTreeDependencies,
): AsyncGenerator<Response> {
  const stream = requests[Symbol.asyncIterator]()
  const start = await startOf(stream, codebases)
  const builder = new TreeBuilder({ maxEntries: limits.maxTreeEntries }, { store })
  await using missing = new MissingBlobs(store)

  for (let message = await next(stream); message.case !== 'endEntries'; message = await next(stream)) {
    if (message.case !== 'entries') throw outOfOrder(message.case, '`entries` or `end_entries`')
    await addEntries(message.value.entries, { builder, missing, limits })
  }

  // Before they are sent: what is refused at the end lies in the store all the same.
  const owner = start.codebaseId === '' ? start.ownerId : codebases.get(start.codebaseId).ownerId
  quotas.check(owner, { bytes: missing.bytes })
  yield* missingMessages(missing)

  for (let message = await next(stream); message.case !== 'finish'; message = await next(stream)) {
    if (message.case !== 'blob') throw outOfOrder(message.case, '`blob` or `finish`')
    const wanted = missing.take(message.value)
    await missing.receive(wanted, contents(stream, wanted.size))
  }
  await missing.commit()

  const { hash, root } = await builder.finish()
  const codebase =
    start.codebaseId === ''
      ? await codebases.create(start.name, start.ownerId, hash)
      : await codebases.change(start.codebaseId, () => Promise.resolve(hash))
  yield {
    message: {
      case: 'done',
      value: {
        codebase: codebaseMessage(codebase, root),
        files: BigInt(root.files),
        blobsReceived: BigInt(missing.blobsReceived),
        bytesReceived: BigInt(missing.bytesReceived),
      },
    },
  }
}

type Stream = AsyncIterator<PutTreeRequest>
type Content = Exclude<PutTreeRequest['message'], { case: undefined }>

async function next(stream: Stream): Promise<Content> {
  const result = await stream.next()
  if (result.done === true) {
    throw new CroftError('INVALID_ARGUMENT', 'the stream ended before `finish`; nothing was changed', {
      field: 'message',
    })
  }
  const { message } = result.value
  if (message.case === undefined) throw invalid('message', 'is empty')
  return message
}

async function startOf(stream: Stream, codebases: Codebases): Promise<PutTreeRequest_Start> {
  const first = await next(stream)
  if (first.case !== 'start') throw outOfOrder(first.case, '`start`')
  const start = first.value
  if (start.codebaseId === '') codebases.checkNew(start.name, start.ownerId)
  else codebases.get(start.codebaseId)
  return start
}

function* missingMessages(missing: MissingBlobs): Generator<Response> {
  const hashes = missing.hashes()
  for (let at = 0; ; at += MAX_HASHES_PER_MESSAGE) {
    const sha256 = hashes.slice(at, at + MAX_HASHES_PER_MESSAGE).map((hash) => Buffer.from(hash, 'hex'))
    const last = at + MAX_HASHES_PER_MESSAGE >= hashes.length
    yield { message: { case: 'missing', value: { sha256, last } } }
    if (last) return
  }
}

/** Exactly as many bytes as were announced. */
async function* contents(stream: Stream, size: number): AsyncGenerator<Buffer> {
  for (let received = 0; received < size; ) {
    const message = await next(stream)
    if (message.case !== 'data') throw invalid('blob.size', `is ${size}, but only ${received} bytes were sent`)
    const { buffer, byteOffset, length } = message.value
    received += length
    if (received > size) throw invalid('blob.size', `is ${size}, but more bytes were sent`)
    yield Buffer.from(buffer, byteOffset, length)
  }
}

function outOfOrder(found: string, expected: string): CroftError {
  return invalid('message', `is \`${found}\` where ${expected} must come`)
}
