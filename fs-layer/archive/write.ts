import { setImmediate } from 'node:timers/promises'
import type { FileEntry } from '../store/objects.ts'
import type { Store } from '../store/store.ts'
import type { ArchiveItem } from './items.ts'

/** What every form of archive is written from: the items can be gone through as often as is needed, always the same. */
export interface ArchiveSource {
  readonly store: Store
  items(): Iterable<ArchiveItem>
  readonly signal?: AbortSignal | undefined
  /** So many bytes of files were read. */
  readonly onContents?: ((bytes: number) => void) | undefined
}

/** The items, a turn for others between them. */
export async function* itemsOf({ items, signal }: ArchiveSource): AsyncGenerator<ArchiveItem> {
  let turns = 0
  for (const item of items()) {
    if (++turns % ITEMS_PER_TURN === 0) await setImmediate()
    signal?.throwIfAborted()
    yield item
  }
}

const ITEMS_PER_TURN = 500

export async function* contentsOf(
  { store, signal, onContents }: ArchiveSource,
  { hash, size }: FileEntry,
): AsyncGenerator<Buffer> {
  // The marker of a whiteout is in no store.
  if (size === 0) return
  for await (const chunk of store.readFile(hash)) {
    signal?.throwIfAborted()
    onContents?.(chunk.length)
    yield chunk
  }
}
