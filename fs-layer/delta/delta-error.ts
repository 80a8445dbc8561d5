/**
 * - `damaged`: what is on the disk is not what was written there
 * - `format`: written by another version of Croft
 * - `base`: it belongs to another base
 */
export type DeltaErrorCode = 'damaged' | 'format' | 'base'

/** A delta that cannot be opened. The message says what is wrong, where, and what helps. */
export class DeltaError extends Error {
  readonly code: DeltaErrorCode

  constructor(code: DeltaErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'DeltaError'
    this.code = code
  }
}
