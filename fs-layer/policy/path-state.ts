import type { Level } from './rule.ts'

/**
 * All that the rules have to say of one path and of what lies below it. Immutable. The same object means the
 * same; different objects may mean the same too. Good only for the policy that made it.
 */
export interface PathState {
  readonly level: Level
  /**
   * The path is hidden, but something strictly below may be visible. False is certain: nothing below is visible.
   * True says only that the rules do not exclude it.
   */
  readonly mayRevealBelow: boolean
  /** Some path strictly below may have `write`. False is certain. */
  readonly mayWriteBelow: boolean
  /** The one level of every path strictly below, or null where the rules may tell them apart. */
  readonly uniformBelow: Level | null
  /** Some path strictly below may be visible but not writable. False is certain. */
  readonly mayRestrictBelow: boolean
}
