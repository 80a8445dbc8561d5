import type { Filesystem } from '../protocol/filesystem.ts'
import type { ConnectionOptions, Negotiated } from '../protocol/negotiate.ts'
import type { UnderWay } from '../protocol/under-way.ts'
import type { DeviceCapabilities } from './capabilities.ts'
import type { Bandwidth } from './throttle.ts'

/**
 * Brings a `Filesystem` under a path of the host.
 *
 *     const loop = createLoop()
 *     const device = kernelDevice(loop, log)
 *     const mounted = await device.mount(view, '/run/croft/sb_1/workspace', { name: 'sb_1' })
 *     …
 *     await mounted.unmount()
 *
 * Where deadlocks lie, for whoever shares the thread that serves:
 * - No call of this process on a path under a mount may block the serving thread: it would wait for itself. That
 *   includes `stat` of the mount point, `umount2` (it flushes dirty pages), `process.chdir` and spawning with a
 *   working directory there.
 * - libuv has four threads for all of Node. Four `fs` calls on mounts leave none for a filesystem that waits for
 *   one of its own. So nothing in this process uses the mounts, and every answer but fsync's is synchronous.
 * - A notice may block in the kernel until a request on the same inode is answered (`Notifier`). They leave from
 *   another thread, never from within a handler.
 */
export interface Device {
  readonly name: DeviceName
  readonly capabilities: DeviceCapabilities
  /**
   * Mounts on `target`, an existing empty directory that nobody else can change; or, where the kernel is not this
   * host's, serves it through the unix socket `target`. Resolves when the kernel has agreed on the protocol, so that
   * requests are answered. Calls `filesystem.attach`. Fails with a `DeviceError`.
   */
  mount(filesystem: Filesystem, target: string, options: MountOptions): Promise<Mounted>
}

export type DeviceName = 'kernel' | 'fuse-native' | 'stream'

export interface MountOptions extends ConnectionOptions {
  /** Shown in the mount table. */
  readonly name: string
  /** Whom new files belong to where the device is not told who makes them (`callers`). Default: this process's user. */
  readonly owner?: { readonly uid: number; readonly gid: number }
  /** How long `unmount` waits for others that still hold the mount before it cuts them off. Default 1000. */
  readonly lingerMs?: number
  /** Called before the kernel is told anything, with the reply if it is one. */
  readonly beforeTelling?: (reply: Buffer | null) => void
  readonly underWay?: UnderWay | undefined
  readonly bandwidth?: Bandwidth
  /** Nothing is mounted: a mount whose thread has died is served from now on. `target` is where it is. */
  readonly takeOver?: Handover & {
    /** Of a request that was carried out and perhaps not answered. */
    readonly unsentReply: Buffer | null
  }
}

/** All that it takes to go on with a mount in another thread of this process. */
export interface Handover {
  /** The open `/dev/fuse`. */
  readonly fd: number
  readonly negotiated: Negotiated
  readonly writeback: boolean
}

export interface Mounted extends AsyncDisposable {
  readonly target: string
  /** Absent where the mount ends with its thread. */
  readonly handover?: Handover | undefined
  /**
   * Detaches the mount, so that its path is free at once, and resolves when the kernel has let go of it. Who still
   * holds files in it (another mount namespace, an open handle) gets ENOTCONN after `lingerMs`. Idempotent.
   */
  unmount(): Promise<void>
  /** Resolves when the kernel is gone: after `unmount`, or because somebody else unmounted or aborted it. */
  readonly ended: Promise<void>
  /**
   * Resolves when every notice that the filesystem has given so far has reached the kernel: from then on no call
   * sees what was cached before.
   */
  noticesSent(): Promise<void>
  /** From the next request on. Absent where the device cannot (`bandwidth`). */
  setBandwidth?(bandwidth: Bandwidth): void
  /** Requests so far, by opcode of the FUSE protocol. */
  readonly counts: Uint32Array
}

export type DeviceErrorCode =
  | 'TARGET_UNFIT'
  | 'MOUNT_FAILED'
  | 'DEVICE_MISSING'
  | 'PROTOCOL_TOO_OLD'
  | 'UNMOUNT_FAILED'
  | 'NOT_TAKEN_OVER'

export class DeviceError extends Error {
  readonly code: DeviceErrorCode
  /** The host's errno, where there is one. */
  readonly errno: number | null

  constructor(code: DeviceErrorCode, message: string, options: { errno?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'DeviceError'
    this.code = code
    this.errno = options.errno ?? null
  }
}
