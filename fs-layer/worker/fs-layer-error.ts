/**
 * `thread-died`: the filesystem thread ended while the call was under way; a change may have happened, and the call can
 * be made again. `thread-stuck`: it did not answer, and is being ended. `view-lost`: the view did not come back. `given-up`: the thread died too often and is not replaced.
 */
export type FsLayerErrorCode = 'thread-died' | 'thread-stuck' | 'view-lost' | 'given-up'

export class FsLayerError extends Error {
  readonly code: FsLayerErrorCode

  constructor(code: FsLayerErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'FsLayerError'
    this.code = code
  }
}
