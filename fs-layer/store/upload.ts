import { checkDeclared } from './blob-files.ts'
import { hashBytes } from './hash.ts'
import { BATCH_BYTES, MAX_INLINE_BYTES, MAX_PENDING_FILES } from './limits.ts'
import type { Hash } from './objects.ts'
import type { DeclaredBlob, Store, StoredBlob } from './store.ts'

/**
 * Takes many blobs, one after another, and makes them durable together: small ones in batches, files in groups.
 * What was taken is in the store for certain only when `commit` has resolved; what was made durable before a
 * failure stays, so that it need not be sent again. Memory is bounded by one batch and 128 descriptors.
 */
export class BlobUpload implements AsyncDisposable {
  readonly #store: Store
  #small: { hash: Hash; data: Buffer }[] = []
  #smallBytes = 0
  readonly #pending = new Set<Promise<void>>()
  #flushing: Promise<void> = Promise.resolve()
  #failure: { error: unknown } | null = null

  constructor(_options: Readonly<Record<string, never>>, { store }: { store: Store }) {
    this.#store = store
  }

  /**
   * A blob that is at hand as a whole. `data` must not change afterwards.
   *
   * @throws {StoreError} `mismatch`, or the failure of an earlier blob
   */
  async addBytes(declared: DeclaredBlob, data: Buffer): Promise<StoredBlob> {
    this.#throwFailure()
    const stored = { hash: hashBytes(data), size: data.length }
    checkDeclared(declared, stored)
    if (data.length > MAX_INLINE_BYTES) {
      const [known] = await this.#store.blobSizes([stored.hash])
      return known === undefined ? this.addStream(stored, [data]) : stored
    }
    this.#small.push({ hash: stored.hash, data })
    this.#smallBytes += data.length + RECORD_BYTES
    if (this.#smallBytes >= BATCH_BYTES) await this.#flushSmall()
    return stored
  }

  /**
   * A blob of any size; resolves when the source has ended. Chunks must not change afterwards.
   *
   * @throws {StoreError} as `Store.putBlob`, or the failure of an earlier blob; and what the source throws
   */
  async addStream(declared: DeclaredBlob, source: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<StoredBlob> {
    this.#throwFailure()
    while (this.#pending.size >= MAX_PENDING_FILES) await Promise.race(this.#pending)
    const { stored, durable } = await this.#store.receiveBlob(declared, source)
    void this.#settled(durable)
    return stored
  }

  /** Resolves when all that was added is in the store for good; rejects with the first failure. */
  async commit(): Promise<void> {
    if (this.#failure === null) await this.#flushSmall()
    await Promise.all(this.#pending)
    this.#throwFailure()
  }

  /** Waits for what is on its way; what was not committed may be in the store or not. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#small = []
    await Promise.all(this.#pending)
  }

  // One batch is written while the next one fills.
  async #flushSmall(): Promise<void> {
    if (this.#small.length === 0) return
    const batch = this.#small
    this.#small = []
    this.#smallBytes = 0
    await this.#flushing
    this.#throwFailure()
    this.#flushing = this.#settled(this.#putMissing(batch))
  }

  async #putMissing(batch: readonly { hash: Hash; data: Buffer }[]): Promise<void> {
    const missing = new Map(batch.map((blob) => [blob.hash, blob]))
    const wanted = await this.#store.missingBlobs(Array.from(missing.keys()))
    await this.#store.putSmallBlobs(wanted.map((hash) => missing.get(hash) as { hash: Hash; data: Buffer }))
  }

  // What is waited for never rejects: a failure is kept for the next call, and for `commit`.
  #settled(durable: Promise<void>): Promise<void> {
    const settled = durable
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .then(() => {
        this.#pending.delete(settled)
      })
    this.#pending.add(settled)
    return settled
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.error
  }
}

// Keys and the record of the size, beside a small blob's bytes.
const RECORD_BYTES = 74
