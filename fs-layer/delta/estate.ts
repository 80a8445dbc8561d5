/**
 * Memory that outlives the filesystem thread: shared with the thread that started it, which hands it to the next
 * one. Each piece has a number of its own.
 */
export interface Estate {
  keep(piece: number, memory: SharedArrayBuffer): void
  /** It is of no use to a successor any more. */
  drop(piece: number): void
}

/** What an earlier thread left of a kind, by number. */
export type Inherited = ReadonlyMap<number, SharedArrayBuffer>
