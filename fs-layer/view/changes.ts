import type { ByteString } from '../protocol/filesystem.ts'

export type ChangeKind = 'created' | 'modified' | 'deleted' | 'renamed' | 'mode'

/** One difference between the view and its base. */
export interface Change {
  readonly kind: ChangeKind
  /** From the root, without a leading slash. */
  readonly path: ByteString
  /** Where a renamed entry was in the base. */
  readonly from?: ByteString
  readonly type: 'file' | 'directory' | 'symlink' | 'fifo' | 'socket'
  readonly size: number
  readonly mode: number
  /** For `modified` and `mode`. */
  readonly oldMode?: number
  /** A renamed file's contents or mode changed too. */
  readonly modified?: boolean
}
