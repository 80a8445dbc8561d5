import type { Quota } from '../delta/usage.ts'
import type { DeviceName } from '../device/device.ts'
import type { Rule } from '../policy/rule.ts'
import type { ByteString } from '../protocol/filesystem.ts'
import type { Hash } from '../store/objects.ts'
import type { Cursor } from '../view/file-event.ts'
import type { Principal, WriteOptions } from '../view/node-info.ts'

/**
 * What the server's thread and the filesystem's thread say to each other. A call has an id and gets one answer.
 * A stream is pulled: each `pull` gets one item, the call that opens it gets the first, so that a small file is
 * one exchange.
 */
export type Call =
  | { op: 'open'; view: string; base: Hash; deltaDir: string; rules: readonly Rule[]; owner: Owner; quota: Quota }
  | { op: 'mount'; view: string; target: string; device: DeviceName; unprivileged: boolean }
  | { op: 'unmount' | 'sync' | 'close' | 'usage'; view: string }
  | { op: 'setQuota'; view: string; quota: Quota }
  | { op: 'setRules'; view: string; rules: readonly Rule[] }
  | { op: 'setOwner'; view: string; owner: Owner }
  | { op: 'stat'; view: string; as: Principal; path: ByteString }
  | { op: 'mkdir'; view: string; as: Principal; path: ByteString; mode: number }
  | { op: 'remove'; view: string; as: Principal; path: ByteString; recursive: boolean }
  | { op: 'rename'; view: string; as: Principal; from: ByteString; to: ByteString }
  | { op: 'write'; view: string; as: Principal; path: ByteString; options: WriteOptions }
  | { op: 'feed'; stream: number; data: Uint8Array }
  | { op: 'finish' | 'abandon'; stream: number }
  | { op: 'list'; view: string; as: Principal; path: ByteString; recursive: boolean }
  | { op: 'read'; view: string; as: Principal; path: ByteString; offset: number; length: number | undefined }
  | { op: 'changes' | 'trail'; view: string }
  | { op: 'watch'; view: string; as: Principal; path: ByteString; cursor: Cursor | undefined }
  | { op: 'export'; view: string; as: Principal; content: 'view' | 'delta' }
  | { op: 'pull' | 'drop'; stream: number }
  | { op: 'stop' }

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

export interface Request {
  id: number
  call: Call
}

export type Response =
  | { id: number; value: unknown }
  | { id: number; error: Failure }
  | { log: { level: 'info' | 'warn' | 'error'; message: string; fields: Record<string, unknown> } }

/** An errno by name, or a fault with its message. */
export type Failure = { errno: string } | { message: string; code?: string }
