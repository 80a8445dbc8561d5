import type { Incoming } from './decode.ts'
import type { Outgoing } from './encode.ts'
import type { Filesystem } from './filesystem.ts'
import type { ConnectionOptions, Negotiated } from './negotiate.ts'

/** Writes the reply's body and returns its length, or `NO_REPLY`; throws an `Errno`. */
export type Handler = (serving: Serving) => number

/** A request's handler, and the bytes that its body has at least. */
export type HandlerTable = readonly (readonly [opcode: number, minBodyBytes: number, handler: Handler])[]

/** What the handlers work with. */
export interface Serving {
  readonly filesystem: Filesystem
  readonly transport: Transport
  readonly incoming: Incoming
  readonly outgoing: Outgoing
  readonly options: ConnectionOptions
  negotiated: Negotiated | null
  settleReady(result: Negotiated | Error): void
  /** Replies later, when the promise has settled: with what `body` writes, or empty, or with its error. */
  replyAfter<T>(done: Promise<T>, body?: (outgoing: Outgoing, value: T) => number): void
}

/** A handler's answer where none is to be sent now: none at all, or one by `replyAfter`. */
export const NO_REPLY = -1

/** How replies leave. */
export interface Transport {
  /** Sends the first `length` bytes at once. They may be overwritten as soon as it returns. Never throws. */
  send(bytes: Buffer, length: number): void
  /**
   * A backing file for passthrough; 0 if the kernel takes none, and the open is then an ordinary one. Each
   * acquired id is released once, by the RELEASE that ends its open.
   */
  acquireBacking(key: string, fd: number): number
  releaseBacking(backingId: number): void
}
