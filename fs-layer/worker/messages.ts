import type { Quota } from '../delta/usage.ts'
import type { DeviceName, Handover } from '../device/device.ts'
import type { Bandwidth } from '../device/throttle.ts'
import type { Rule } from '../policy/rule.ts'
import type { ByteString } from '../protocol/filesystem.ts'
import type { Hash } from '../store/objects.ts'
import type { Cursor } from '../view/file-event.ts'
import type { Principal, WriteOptions } from '../view/node-info.ts'
import type { ViewRemains } from '../view/open-view.ts'
import type { RevertOptions } from '../view/revert.ts'

/**
 * What the server's thread and the filesystem's thread say to each other. A call has an id and gets one answer.
 * A stream is pulled: each `pull` gets one item, the call that opens it gets the first, so that a small file is
 * one exchange.
 */
export type Call =
  | OpenCall
  | { op: 'mount'; view: string; target: string; device: DeviceName; unprivileged: boolean }
  | { op: 'takeOver'; view: string; target: string; handover: Handover }
  | { op: 'unmount' | 'sync' | 'close' | 'usage' | 'changeCount'; view: string }
  | { op: 'setQuota'; view: string; quota: Quota }
  | { op: 'setBandwidth'; view: string; bandwidth: Bandwidth }
  | { op: 'setRules'; view: string; rules: readonly Rule[] }
  | { op: 'setOwner'; view: string; owner: Owner }
  | { op: 'stat'; view: string; as: Principal; path: ByteString }
  | { op: 'mkdir'; view: string; as: Principal; path: ByteString; mode: number }
  | { op: 'remove'; view: string; as: Principal; path: ByteString; recursive: boolean }
  | { op: 'rename'; view: string; as: Principal; from: ByteString; to: ByteString }
  | { op: 'write'; view: string; as: Principal; path: ByteString; options: WriteOptions }
  | { op: 'feed'; stream: number; data: Uint8Array }
  | { op: 'finish'; stream: number; data: Uint8Array | undefined }
  | { op: 'abandon'; stream: number }
  | { op: 'list'; view: string; as: Principal; path: ByteString; recursive: boolean }
  | { op: 'read'; view: string; as: Principal; path: ByteString; offset: number; length: number | undefined }
  | { op: 'changes' | 'trail' | 'cut'; view: string }
  | { op: 'revert'; view: string; options: RevertOptions }
  | { op: 'watch'; view: string; as: Principal; path: ByteString; cursor: Cursor | undefined }
  | { op: 'export'; view: string; as: Principal; content: 'view' | 'delta' }
  | { op: 'pull' | 'drop'; stream: number }
  | { op: 'ping' | 'stop' }

export interface OpenCall {
  op: 'open'
  view: string
  base: Hash
  deltaDir: string
  rules: readonly Rule[]
  owner: Owner
  quota: Quota
  /** Of what is mounted. Absent: as fast as it goes. */
  bandwidth?: Bandwidth
  /** Of the thread that had it open and died. */
  left?: ViewRemains
}

export interface Owner {
  uid: number
  gid: number
}

/** The first item of a stream, or a later one. After `done` the stream is gone. */
export interface Pulled<T = unknown> {
  stream: number
  item: T | undefined
  done: boolean
}

export type Request = { id: number; call: Call } | { done: number; errno: number }

export type Response =
  | { id: number; value: unknown }
  | { id: number; error: Failure }
  | { log: { level: 'info' | 'warn' | 'error'; message: string; fields: Record<string, unknown> } }
  | { errand: Errand }
  | { keep: Kept }

/** What the server's thread does for the filesystem's, which may die over it. Those with an `id` are told of as done. */
export type Errand =
  | { do: 'opened' | 'close'; fd: number }
  | { do: 'write'; id: number; fd: number; bytes: Uint8Array }
  | { do: 'umount'; id: number; target: string; flags: number }

/** Memory for the thread that comes after; without it, a piece that is of no use any more. */
export interface Kept {
  view: string
  part: keyof ViewRemains
  piece: number
  memory?: SharedArrayBuffer
}

/** An errno by name, or a fault with its message. */
export type Failure = { errno: string } | { message: string; code?: string }
