import { MAX_INLINE_BYTES } from '../../fs-layer/store/limits.ts'
import type { Hash } from '../../fs-layer/store/objects.ts'
import type { Store } from '../../fs-layer/store/store.ts'
import { BlobUpload } from '../../fs-layer/store/upload.ts'
import type { PutTreeRequest_Blob } from '../../proto/index.ts'
import { invalid } from '../errors/croft-error.ts'

export interface WantedBlob {
  readonly hash: Hash
  readonly size: number
}

/** The blobs of one tree that the store lacks: which they are, and their way into it. */
export class MissingBlobs implements AsyncDisposable {
  blobsReceived = 0
  bytesReceived = 0
  readonly #store: Store
  readonly #upload: BlobUpload
  readonly #sizes = new Map<Hash, number>()

  constructor(store: Store) {
    this.#store = store
    this.#upload = new BlobUpload({}, { store })
  }

  /** Notes those that the store lacks. A size that is not the one of the blob is refused at once. */
  async note(files: readonly (WantedBlob & { readonly field: string })[]): Promise<void> {
    const known = await this.#store.blobSizes(files.map(({ hash }) => hash))
    files.forEach(({ hash, size, field }, index) => {
      const right = known[index] ?? this.#sizes.get(hash)
      if (right === undefined) this.#sizes.set(hash, size)
      else if (right !== size)
        throw invalid(`${field}.size`, `is ${size}, but the blob of that hash has ${right} bytes`)
    })
  }

  /** Of all of them. */
  get bytes(): number {
    return [...this.#sizes.values()].reduce((total, size) => total + size, 0)
  }

  hashes(): Hash[] {
    return [...this.#sizes.keys()]
  }

  /** Throws where nobody asked for it. */
  take(blob: PutTreeRequest_Blob): WantedBlob {
    const hash = Buffer.from(blob.sha256).toString('hex')
    const size = this.#sizes.get(hash)
    if (size === undefined) throw invalid('blob.sha256', `${hash.slice(0, 64)} is not missing, or was sent before`)
    if (blob.size !== BigInt(size)) throw invalid('blob.size', `is ${blob.size}, but the entry said ${size}`)
    this.#sizes.delete(hash)
    return { hash, size }
  }

  /** Takes all of `contents`. */
  async receive(blob: WantedBlob, contents: AsyncIterable<Buffer>): Promise<void> {
    if (blob.size > MAX_INLINE_BYTES) {
      await this.#upload.addStream(blob, contents)
    } else {
      const chunks: Buffer[] = []
      for await (const chunk of contents) chunks.push(chunk)
      // A copy, for a chunk is a piece of a message that may be far larger, and is kept for a while.
      await this.#upload.addBytes(blob, Buffer.concat(chunks))
    }
    this.blobsReceived += 1
    this.bytesReceived += blob.size
  }

  /** Resolves when all that were missing are durable. */
  async commit(): Promise<void> {
    await this.#upload.commit()
    const [hash] = this.#sizes.keys()
    if (hash !== undefined)
      throw invalid('finish', `came too early: ${this.#sizes.size} blobs are missing, ${hash} is one`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#upload[Symbol.asyncDispose]()
  }
}
