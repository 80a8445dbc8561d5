import type { Progress } from './report/progress.ts'
import type { Section } from './report/section.ts'

/** What a suite is given. */
export interface Bench {
  /** Runs of each measurement, alternating between what is compared. */
  readonly runs: number
  /** Fewer samples and smaller inputs: to see that everything works, not for figures. */
  readonly quick: boolean
  /** An empty directory of this run's own; whoever called removes it. */
  readonly scratch: string
  /** A folder to work on in place of this repository. */
  readonly project?: string
  /** Only these variants, native aside; empty: all. */
  readonly variants: readonly string[]
  /** Only steps whose name contains one of these; empty: all. */
  readonly steps: readonly string[]
  /** Where the filesystem's process leaves its CPU profiles. */
  readonly profileDir?: string
  readonly progress: Progress
  readonly signal: AbortSignal
}

/** Leaves nothing behind, however it ends: no process, no mount; files only in `scratch`. */
export type Suite = (bench: Bench) => Promise<Section[]>

/** Of a list of parts of names. */
export function isChosen(name: string, parts: readonly string[]): boolean {
  return parts.length === 0 || parts.some((part) => name.includes(part))
}
