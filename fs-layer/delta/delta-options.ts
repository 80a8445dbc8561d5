import type { NodeId } from '../protocol/filesystem.ts'
import type { Hash, TreeEntry } from '../store/objects.ts'
import type { Inherited } from './estate.ts'
import type { FlushTimersOptions } from './flush-timers.ts'
import type { Journal } from './journal.ts'
import type { CutOff } from './mend-index.ts'
import type { Room } from './room.ts'

export interface DeltaOptions extends FlushTimersOptions {
  readonly dir: string
  readonly base: Hash
  /** Nodes up to this number are the base's; the sandbox's own come after. */
  readonly baseInodes: number
  /** What the base has at a number, and in which directory. */
  readonly baseEntry: (node: NodeId) => { readonly entry: TreeEntry; readonly parent: NodeId }
  /** Asked before each batch. */
  readonly room: Room
  /** A batch failed after one that did not; it is tried again with the next one. */
  readonly onFlushFailed: (error: unknown) => void
  /** Behind a place in a log where batches are lost, later ones were cut off: nobody had been told that they are durable. */
  readonly onCutOff: (cut: CutOff) => void
  /** Bytes of the log of syncs, 0 for none. */
  readonly syncLogBytes: number
  /** None could be made, or it could not be written to: syncs are slower until the delta is opened again, and as good. */
  readonly onSyncLogFailed: (error: unknown) => void
  /** Where changes are kept that are answered and not written yet; without one they are lost with the thread. */
  readonly journal?: Journal | undefined
  /** The journal of a thread that has died: its changes come first. */
  readonly inherited?: Inherited | undefined
}
