import type { NodeId } from '../protocol/filesystem.ts'
import type { Hash, TreeEntry } from '../store/objects.ts'
import type { Inherited } from './estate.ts'
import type { Journal } from './journal.ts'
import type { CutOff } from './mend-index.ts'
import type { Room } from './room.ts'

export interface DeltaOptions {
  readonly dir: string
  readonly base: Hash
  /** Nodes up to this number are the base's; the sandbox's own come after. */
  readonly baseInodes: number
  /** What the base has at a number, and in which directory. */
  readonly baseEntry: (node: NodeId) => { readonly entry: TreeEntry; readonly parent: NodeId }
  /** Gathered changes are written after this long. */
  readonly flushAfterMs: number
  /** … or when so many records are waiting. */
  readonly flushAtRecords: number
  /** What waits for changes to be durable waits so long at most. */
  readonly settleAfterMs: number
  /** Asked before each batch. */
  readonly room: Room
  /** A batch failed after one that did not; it is tried again with the next one. */
  readonly onFlushFailed: (error: unknown) => void
  /** Behind a place in a log where batches are lost, later ones were cut off: nobody had been told that they are durable. */
  readonly onCutOff: (cut: CutOff) => void
  /** Where changes are kept that are answered and not written yet; without one they are lost with the thread. */
  readonly journal?: Journal | undefined
  /** The journal of a thread that has died: its changes come first. */
  readonly inherited?: Inherited | undefined
}
