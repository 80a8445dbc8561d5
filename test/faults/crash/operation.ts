/** One step of a writer of the crash tests. Paths are relative to the writer's own directory. */
export type Operation =
  | ({ readonly op: 'create'; readonly path: string; readonly tag: number; readonly length: number } & Handling)
  | ({
      readonly op: 'write'
      readonly path: string
      readonly offset: number
      readonly tag: number
      readonly length: number
      /** By O_APPEND; `offset` is the size that the file has then. */
      readonly append: boolean
    } & Handling)
  | { readonly op: 'truncate'; readonly path: string; readonly size: number }
  | {
      readonly op: 'fallocate'
      readonly path: string
      readonly mode: number
      readonly from: number
      readonly to: number
    }
  | { readonly op: 'syncFile'; readonly path: string; readonly sync: Sync }
  | { readonly op: 'syncDirectory' | 'mkdir' | 'rmdir' | 'unlink'; readonly path: string }
  | { readonly op: 'rename' | 'exchange' | 'link'; readonly path: string; readonly to: string }
  | { readonly op: 'symlink'; readonly path: string; readonly target: string }
  | { readonly op: 'chmod'; readonly path: string; readonly mode: number }
  | { readonly op: 'setxattr'; readonly path: string; readonly name: string; readonly value: string }
  | { readonly op: 'removexattr'; readonly path: string; readonly name: string }

export type Sync = 'fsync' | 'fdatasync'

interface Handling {
  /** Before it is closed. */
  readonly sync: Sync | null
  /** It is not closed: what was written may still be with the kernel. */
  readonly keepsOpen: boolean
}

export const FALLOC_KEEP_SIZE = 1
export const FALLOC_PUNCH_HOLE = 2
export const FALLOC_ZERO_RANGE = 16

/** What a file holds from `offset` on, of a write with this tag; never a zero. */
export function pattern(tag: number, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; at++) bytes[at] = 1 + ((tag * 31 + ((offset + at) >>> 8) * 7 + offset + at) % 255)
  return bytes
}

/** An operation that was begun, and when, by CLOCK_MONOTONIC (µs), which all processes share. */
export interface Done {
  readonly operation: Operation
  readonly beganUs: number
  /** Of the call by which the writer notes that the operation is over; 0 where it did not come to that. */
  noteBeganUs: number
  notedUs: number
}

/** What one writer did in a round. The last operation may have been cut off. */
export interface History {
  readonly done: readonly Done[]
  /** So many of them were answered. */
  readonly answered: number
  /** When it ended, and when it killed the server: 0 where it did not. */
  readonly endedUs: number
  readonly killedUs: number
}

export function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1000n)
}
