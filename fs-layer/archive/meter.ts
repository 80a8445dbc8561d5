import type { ByteString } from '../protocol/filesystem.ts'
import { ArchiveError } from './archive-error.ts'

export interface UnpackLimits {
  /** Bytes of all that is unpacked. */
  readonly maxBytes: number
  /** Entries that the archive has, those that are replaced or gone again among them. */
  readonly maxEntries: number
  /** Bytes that come out for each that went in. */
  readonly maxRatio: number
  /** So many may come out at any ratio: small archives of zeros are no attack. */
  readonly freeBytes: number
  readonly signal?: AbortSignal
}

/** Counts what an archive becomes, while it does. */
export class Meter {
  readonly #limits: UnpackLimits
  #packed = 0
  #unpacked = 0
  #entries = 0

  constructor(limits: UnpackLimits) {
    this.#limits = limits
  }

  /** Of the archive as it was sent. */
  packed(bytes: number): void {
    this.#packed += bytes
  }

  /** @throws {ArchiveError} `limit` */
  unpacked(bytes: number, path?: ByteString): void {
    this.#unpacked += bytes
    const { maxBytes, maxRatio, freeBytes, signal } = this.#limits
    signal?.throwIfAborted()
    if (this.#unpacked > maxBytes) throw new ArchiveError('limit', `More than ${maxBytes} bytes when unpacked`, path)
    if (this.#unpacked <= freeBytes || this.#unpacked <= this.#packed * maxRatio) return
    throw new ArchiveError('limit', `More than ${maxRatio} times as large when unpacked`, path)
  }

  /** What is to come. @throws {ArchiveError} `limit` */
  announced(bytes: number, path: ByteString): void {
    const { maxBytes } = this.#limits
    if (this.#unpacked + bytes <= maxBytes) return
    throw new ArchiveError('limit', `More than ${maxBytes} bytes when unpacked`, path)
  }

  /** @throws {ArchiveError} `limit` */
  entry(path: ByteString): void {
    this.#limits.signal?.throwIfAborted()
    if (++this.#entries > this.#limits.maxEntries) {
      throw new ArchiveError('limit', `More than ${this.#limits.maxEntries} entries`, path)
    }
  }
}
