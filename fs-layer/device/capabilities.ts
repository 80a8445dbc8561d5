import type { DeviceName } from './device.ts'

/** What a device cannot do is false here, and the filesystem behind it never hears of it. */
export interface DeviceCapabilities {
  /** `target` is a path of this host, under which the view is. */
  readonly onHost: boolean
  /** `Opened.passthrough` is honoured where the kernel can (6.9). */
  readonly passthrough: boolean
  /** `Notifier` reaches the kernel. Where it does not, what is cached is asked for anew each time. */
  readonly notices: boolean
  /** Names and link targets are bytes. Where they are not, those that are no UTF-8 cannot be reached. */
  readonly byteNames: boolean
  /** New files belong to whoever makes them, and not to the owner of the view (`MountOptions.owner`). */
  readonly callers: boolean
  /** Both times can be set, to the nanosecond, or left alone; the birth time is told. */
  readonly times: boolean
  /** RENAME_NOREPLACE and RENAME_EXCHANGE. */
  readonly renameFlags: boolean
  readonly fallocate: boolean
  readonly seekHole: boolean
  readonly copyFileRange: boolean
  /** Files without a name (O_TMPFILE). */
  readonly tmpfile: boolean
  /** An extended attribute that does not fit the room that the caller has is refused (ERANGE). */
  readonly xattrRoom: boolean
  /** What was removed while in use has no name any more (not even a hidden one), and can still be asked about. */
  readonly removedInodes: boolean
  /** What passes can be held to a bandwidth (`MountOptions.bandwidth`). */
  readonly bandwidth: boolean
}

const ALL = {
  onHost: true,
  passthrough: true,
  notices: true,
  byteNames: true,
  callers: true,
  times: true,
  renameFlags: true,
  fallocate: true,
  seekHole: true,
  copyFileRange: true,
  tmpfile: true,
  xattrRoom: true,
  removedInodes: true,
  bandwidth: true,
} as const

export const CAPABILITIES: Readonly<Record<DeviceName, DeviceCapabilities>> = {
  kernel: ALL,
  stream: { ...ALL, onHost: false, passthrough: false, bandwidth: false },
  'fuse-native': {
    onHost: true,
    passthrough: false,
    notices: false,
    byteNames: false,
    callers: false,
    times: false,
    renameFlags: false,
    fallocate: false,
    seekHole: false,
    copyFileRange: false,
    tmpfile: false,
    xattrRoom: false,
    removedInodes: false,
    bandwidth: false,
  },
}
