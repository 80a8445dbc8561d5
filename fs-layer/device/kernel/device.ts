import { NOTIFY_RESEND, OUT_HEADER_BYTES, REPLY_BYTES, REQUEST_BYTES } from '../../protocol/constants.ts'
import { createIncoming } from '../../protocol/decode.ts'
import { createOutgoing } from '../../protocol/encode.ts'
import type { Filesystem } from '../../protocol/filesystem.ts'
import type { Log } from '../../protocol/log.ts'
import { createConnection } from '../../protocol/serve.ts'
import type { Loop } from '../../worker/loop.ts'
import { CAPABILITIES } from '../capabilities.ts'
import { type Device, DeviceError, type Mounted, type MountOptions } from '../device.ts'
import { checkTarget } from '../target.ts'
import { Throttle } from '../throttle.ts'
import { createBackings } from './backings.ts'
import { type Custody, ownCustody } from './custody.ts'
import { mountByFusermount, needsFusermount } from './fusermount.ts'
import { createNotices } from './notices.ts'
import {
  describeErrno,
  EAGAIN,
  EINTR,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOTCONN,
  loadSyscalls,
  MNT_DETACH,
  MS_NODEV,
  MS_NOSUID,
  type Syscalls,
} from './syscalls.ts'

/**
 * The device that speaks to `/dev/fuse` itself. Linux, with the right to mount or with `fusermount3`.
 *
 * All mounts of a thread share one buffer for requests and one for replies: a request is answered before the next
 * is read. See `device.ts` for the deadlocks.
 */
export function kernelDevice(loop: Loop, log: Log, custody: Custody = ownCustody(loadSyscalls())): Device {
  const shared = { incoming: createIncoming(REQUEST_BYTES), outgoing: createOutgoing(REPLY_BYTES) }
  return {
    name: 'kernel',
    capabilities: CAPABILITIES.kernel,
    async mount(filesystem, target, options) {
      const syscalls = loadSyscalls()
      if (options.takeOver !== undefined) {
        const mounted = await serve(filesystem, target, options, options.takeOver.fd, syscalls)
        resend(syscalls, options.takeOver.fd, target)
        return mounted
      }
      await checkTarget(target)
      const fd = needsFusermount() ? await mountByHelper(target, options.name) : mountOurselves(target, options.name)
      return serve(filesystem, target, options, fd, syscalls)
    },
  }

  function mountOurselves(target: string, name: string): number {
    const fd = openDevice(custody)
    try {
      mountDevice(loadSyscalls(), fd, target, name)
    } catch (error) {
      custody.close(fd)
      throw error
    }
    return fd
  }

  async function mountByHelper(target: string, name: string): Promise<number> {
    const fd = await mountByFusermount(target, name)
    custody.opened(fd)
    return fd
  }

  async function serve(
    filesystem: Filesystem,
    target: string,
    options: MountOptions,
    fd: number,
    syscalls: Syscalls,
  ): Promise<Mounted> {
    const mountLog: Log = (level, message, fields) => log(level, message, { ...fields, mount: options.name })
    const backings = createBackings(fd, syscalls)
    const notices = createNotices({
      write: (message) => custody.write(fd, message),
      save: () => options.beforeTelling?.(null),
      log: mountLog,
      minor: () => connection.negotiated?.minor ?? 0,
    })
    const transport = {
      send(bytes: Buffer, length: number) {
        repliedBytes = length
        options.beforeTelling?.(bytes.subarray(0, length))
        // After the end the descriptor's number may be another file's.
        if (over || syscalls.write(fd, bytes, length) === length) return
        const errno = syscalls.errno()
        // ENOENT: whoever asked was killed and the mount aborted meanwhile; the other is a bug of ours.
        if (errno !== ENOENT && errno !== ENODEV) {
          mountLog('error', 'the kernel refused a reply', { error: describeErrno(errno), length })
        }
      },
      acquireBacking: backings.acquire,
      releaseBacking: backings.release,
    }
    const { takeOver: begun, underWay } = options
    const connection = createConnection(options, { ...shared, filesystem, transport, log: mountLog, begun, underWay })
    let over = false
    let settleEnded: () => void
    const ended = new Promise<void>((resolve) => {
      settleEnded = resolve
    })
    const watch = loop.watch(fd, { serveOne })
    let repliedBytes = 0
    const throttle = new Throttle()
    throttle.set(options.bandwidth ?? {})
    /** While it runs, nothing is read: the kernel keeps what programs ask for. */
    let held: NodeJS.Timeout | undefined
    filesystem.attach(notices)
    let unmounting: Promise<void> | undefined
    const mounted: Mounted = {
      target,
      get handover() {
        const { negotiated } = connection
        if (!custody.outlives || negotiated === null || !negotiated.resend) return undefined
        return { fd, negotiated, writeback: options.writeback === true }
      },
      ended,
      counts: connection.counts,
      noticesSent: notices.flush,
      setBandwidth(bandwidth) {
        throttle.set(bandwidth)
        if (held !== undefined) letGo()
      },
      unmount() {
        unmounting ??= unmount()
        return unmounting
      },
      [Symbol.asyncDispose]: () => mounted.unmount(),
    }
    try {
      await connection.ready
    } catch (error) {
      await mounted.unmount()
      throw new DeviceError('PROTOCOL_TOO_OLD', `cannot mount ${target}`, { cause: error })
    }
    return mounted

    function serveOne(): boolean {
      const received = syscalls.read(fd, shared.incoming.bytes, shared.incoming.bytes.length)
      if (received > 0) {
        repliedBytes = 0
        connection.handle(received)
        if (throttle.isSet) holdAfter(received)
        return true
      }
      const errno = syscalls.errno()
      if (errno === EAGAIN) return false
      // ENOENT: the request was broken off before we read it.
      if (errno === EINTR || errno === ENOENT) return true
      if (errno !== ENODEV) mountLog('error', 'the mount cannot be read any more', { error: describeErrno(errno) })
      end()
      return false
    }

    function holdAfter(requestBytes: number): void {
      const reply = shared.outgoing.bytes.subarray(0, repliedBytes)
      const forMs = throttle.waitAfter({ opcode: shared.incoming.opcode, requestBytes, reply })
      if (forMs <= 0 || over) return
      watch.pause()
      held = setTimeout(letGo, Math.ceil(forMs))
    }

    function letGo(): void {
      clearTimeout(held)
      held = undefined
      watch.resume()
    }

    async function unmount(): Promise<void> {
      if (!over) {
        const errno = await custody.umount(target, MNT_DETACH)
        // EINVAL: no longer a mount point, because somebody else was first.
        if (errno !== 0 && errno !== EINVAL && errno !== ENOENT) {
          throw new DeviceError('UNMOUNT_FAILED', `cannot unmount ${target}: ${describeErrno(errno)}`, { errno })
        }
      }
      const linger = setTimeout(end, options.lingerMs ?? DEFAULT_LINGER_MS)
      await ended
      clearTimeout(linger)
      await notices.flush()
    }

    function end(): void {
      if (over) return
      over = true
      clearTimeout(held)
      notices.close()
      filesystem.attach(null)
      watch.close()
      custody.close(fd)
      settleEnded()
    }
  }
}

const DEFAULT_LINGER_MS = 1000

function openDevice(custody: Custody): number {
  try {
    return custody.open()
  } catch (error) {
    throw new DeviceError('DEVICE_MISSING', 'cannot open /dev/fuse: is the fuse module loaded, and may we use it?', {
      cause: error,
    })
  }
}

/** The kernel gives out anew what the thread before had read and not answered. */
function resend(syscalls: Syscalls, fd: number, target: string): void {
  const message = Buffer.alloc(OUT_HEADER_BYTES)
  message.writeUInt32LE(message.length, 0)
  message.writeInt32LE(NOTIFY_RESEND, 4)
  if (syscalls.write(fd, message, message.length) === message.length) return
  const errno = syscalls.errno()
  // The mount has ended; its next reading tells.
  if (errno === ENODEV || errno === ENOTCONN) return
  const reason = `cannot take ${target} over: ${describeErrno(errno)}`
  throw new DeviceError('NOT_TAKEN_OVER', reason, { errno })
}

function mountDevice(syscalls: Syscalls, fd: number, target: string, name: string): void {
  const owner = `user_id=${process.geteuid?.() ?? 0},group_id=${process.getegid?.() ?? 0}`
  const data = `fd=${fd},rootmode=40000,${owner},default_permissions,allow_other`
  if (syscalls.mount(name, target, 'fuse.croft', MS_NOSUID | MS_NODEV, data) === 0) return
  const errno = syscalls.errno()
  throw new DeviceError('MOUNT_FAILED', `cannot mount on ${target}: ${describeErrno(errno)}`, { errno })
}
