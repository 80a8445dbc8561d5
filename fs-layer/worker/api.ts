import type { Quota } from '../delta/usage.ts'
import type { DeviceName } from '../device/device.ts'
import type { Bandwidth } from '../device/throttle.ts'
import type { Rule } from '../policy/rule.ts'
import type { ByteString } from '../protocol/filesystem.ts'
import type { CutPart } from '../store/cut-part.ts'
import type { Hash } from '../store/objects.ts'
import type { Change } from '../view/changes.ts'
import type { FileEvent } from '../view/file-event.ts'
import type { NodeInfo, Principal, WriteOptions } from '../view/node-info.ts'
import type { Reverted, RevertOptions } from '../view/revert.ts'
import type { TrailEntry } from '../view/trail-entry.ts'
import type { WatchOptions } from '../view/watcher.ts'

/** The filesystem as the server sees it: one thread that holds every open view. */
export interface FsLayer extends AsyncDisposable {
  /** Opens the view's delta, making it where there is none. Nothing is mounted yet. */
  openView(spec: ViewSpec): Promise<ViewHandle>
  /**
   * A thread that ends by itself is replaced, and every view and mount comes back. Resolves, with the reason, when it
   * has ended too often: every view is lost then, and nothing more can be done here.
   */
  readonly died: Promise<Error>
}

export interface FsLayerOptions {
  /** The store's directory, open in this process too (LevelDB is opened by both threads). */
  readonly storeDir: string
  /** What the thread's JavaScript may take. MiB, default Node's. */
  readonly heapMaxMiB?: number
  /** How often the thread is replaced within `DEATHS_WINDOW_MS`. Default `DEATHS_MAX`. */
  readonly deathsMax?: number
  /** How long the thread may say nothing while a call waits. Default `SILENCE_MAX_MS`. */
  readonly silenceMaxMs?: number
  /** What the file takes in which a delta with many syncs keeps those (ADR 35). Default `SYNC_LOG_BYTES`, 0: none is made. */
  readonly syncLogBytes?: number | undefined
  /** One line for the log of the server. */
  readonly onLog?: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void
}

export interface ViewSpec {
  /** The sandbox's id; names the view in logs and in the mount table. */
  readonly id: string
  readonly base: Hash
  /** Where the delta is kept; made if missing. */
  readonly deltaDir: string
  readonly rules: readonly Rule[]
  /** Whom the files belong to, as host ids. */
  readonly owner: { readonly uid: number; readonly gid: number }
  /** What the sandbox may add to the base. Default: no limit but the disk. */
  readonly quota?: Quota
}

export interface ViewMountOptions {
  /** Default `kernel`. */
  readonly device?: DeviceName
  /**
   * Nobody who reaches the mount may pass over permission bits (CAP_DAC_OVERRIDE): what the rules do not let be written
   * is not even opened for writing, so the kernel may gather writes (ADR 11). Default false.
   */
  readonly unprivileged?: boolean
}

/**
 * One open view. Paths are byte strings of names separated by `/`, relative to the root, already checked by
 * `parseViewPath`. Failures reject with an `Errno`. Symlinks are never followed, not even as a parent.
 *
 * If the filesystem thread dies, calls that change something and streams that are under way reject with an
 * `FsLayerError`; later ones wait for its successor.
 */
export interface ViewHandle {
  /** Resolves if the view does not come back after that, with the reason. Its mount is gone; it can still be closed. */
  readonly lost: Promise<Error>
  /**
   * `target` is an empty directory, for the `stream` device a unix socket that somebody listens on. Resolves when the
   * kernel answers there.
   */
  mount(target: string, options?: ViewMountOptions): Promise<void>
  /** Detaches, and flushes everything to disk. */
  unmount(): Promise<void>
  /** In force for the next call inside. */
  setRules(rules: readonly Rule[]): Promise<void>
  setOwner(owner: { uid: number; gid: number }): Promise<void>
  /** In force for the next call; below what is used already, nothing more can be added. */
  setQuota(quota: Quota): Promise<void>
  /** Of programs inside, from their next call on; no more than the device can (`bandwidth`). */
  setBandwidth(bandwidth: Bandwidth): Promise<void>
  /** What the delta holds now. */
  usage(): Promise<{ bytes: number; inodes: number }>
  stat(path: ByteString, as: Principal): Promise<NodeInfo>
  list(path: ByteString, as: Principal, recursive: boolean): AsyncIterable<NodeInfo[]>
  /** `length` undefined: to the end. */
  read(path: ByteString, as: Principal, offset: number, length?: number): AsyncIterable<Buffer>
  /** All or nothing: the new contents take their place when the input has ended. */
  write(path: ByteString, as: Principal, data: AsyncIterable<Buffer>, options: WriteOptions): Promise<NodeInfo>
  /** With missing parents. */
  mkdir(path: ByteString, as: Principal, mode: number): Promise<NodeInfo>
  remove(path: ByteString, as: Principal, recursive: boolean): Promise<void>
  rename(from: ByteString, to: ByteString, as: Principal): Promise<void>
  changes(): AsyncIterable<Change[]>
  /** The whole view as it is at one moment, to be folded into a version (`store/fold.ts`). Nothing inside waits for it. */
  cut(): AsyncIterable<CutPart>
  /** Goes up with every change that the view has heard of. It begins anew when the view is opened. */
  changeCount(): Promise<number>
  /**
   * Makes the view what another version is, while programs use it: see `view/revert.ts`. All of it outlives the thread
   * when the stream has ended, and is seen inside.
   */
  revert(options: RevertOptions): AsyncIterable<Reverted[]>
  /**
   * What becomes of names from now on, or after a cursor; waits for more until the signal fires. Ends when the view is
   * closed. What programs inside wrote is told when the kernel sends it.
   */
  watch(options: WatchOptions, as: Principal, signal: AbortSignal): AsyncIterable<FileEvent[]>
  /** What programs inside did with which paths, in this and in earlier runs. */
  trail(): AsyncIterable<TrailEntry[]>
  /** A tar stream. */
  exportTar(options: { content: 'view' | 'delta'; as: Principal }): AsyncIterable<Buffer>
  /** Everything acknowledged so far is on disk when it resolves. */
  sync(): Promise<void>
  /** Unmounts if mounted, flushes, forgets. The delta stays on disk. */
  close(): Promise<void>
}
