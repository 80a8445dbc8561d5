import type { Step } from './steps.ts'

/** One way to show the project, on the same disk as all others. */
export interface Variant extends AsyncDisposable {
  readonly name: string
  /** Where the project's root is. The same for its whole life. */
  readonly path: string
  /** Milliseconds of processor time that whoever serves it has used so far; absent where the kernel serves. */
  servingMs?(): number
  /** The project as it was on the first day, for the next step. */
  renew(): Promise<void>
  /** After a run of `step`, whose `undo` is for who cannot be renewed cheaply. */
  restore(step: Pick<Step, 'undo'>): Promise<void>
}

/** An ordinary copy: what all others are compared with. */
export const NATIVE = 'native'
/** Ours, as the server mounts it. */
export const CROFT = 'croft'
export const VARIANTS = [NATIVE, 'overlayfs', 'fuse-overlayfs', 'fuse-native', CROFT] as const
