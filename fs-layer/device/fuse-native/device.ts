import { execFile } from 'node:child_process'
import { constants, platform } from 'node:os'
import { promisify } from 'node:util'
import { OPCODES } from '../../protocol/constants.ts'
import type { Log } from '../../protocol/log.ts'
import { CAPABILITIES } from '../capabilities.ts'
import { type Device, DeviceError, type Mounted } from '../device.ts'
import { describeErrno, EINVAL, loadSyscalls, MNT_DETACH } from '../kernel/syscalls.ts'
import { checkTarget } from '../target.ts'
import { type FuseNativeMount, loadFuseNative, type Operations } from './binding.ts'
import { createOperations } from './operations.ts'

interface FuseNativeDeviceOptions {
  /** How long the kernel may answer for names and attributes by itself. Default 0. */
  readonly rememberSec?: number
}

/**
 * The device for systems where the protocol cannot be spoken directly (macOS, old kernels), and the yardstick of
 * the benchmark: libfuse 2 through the package `fuse-native`, by paths, on the main event loop of the process.
 *
 * There is no way to tell the kernel of a change, so it is to ask for names and attributes at each call. Of an open file
 * that is unlinked libfuse keeps a hidden name (`.fuse_hidden…`) until it is closed.
 */
export function fuseNativeDevice(log: Log, { rememberSec = 0 }: FuseNativeDeviceOptions = {}): Device {
  return {
    name: 'fuse-native',
    capabilities: CAPABILITIES['fuse-native'],
    async mount(filesystem, target, options) {
      await checkTarget(target)
      const FuseNative = loadFuseNative()
      // Its own way runs `fusermount` through a shell.
      FuseNative.unmount = (path, done) => {
        detach(path).then(() => done(null), done)
      }
      const operations = createOperations(filesystem, options.owner ?? us(), log)
      const fuse = new FuseNative(target, operations, {
        allowOther: true,
        defaultPermissions: true,
        // The option list is joined by commas, and the package has no other way to ask for our inode numbers and for
        // these times.
        fsname: `${options.name.replaceAll(/[^\w.-]/g, '_')},use_ino,entry_timeout=${rememberSec},attr_timeout=${rememberSec}`,
        subtype: 'croft',
        timeout: false,
      })
      try {
        await settled((done) => fuse.open(done))
      } catch (cause) {
        throw new DeviceError('MOUNT_FAILED', `libfuse cannot mount on ${target}`, { cause })
      }
      filesystem.attach(null)
      return mountedBy(fuse, target, operations)
    },
  }
}

function us(): { uid: number; gid: number } {
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
}

function mountedBy(fuse: FuseNativeMount, target: string, operations: Operations): Mounted {
  let settleEnded: () => void
  const ended = new Promise<void>((resolve) => {
    settleEnded = resolve
  })
  let unmounting: Promise<void> | undefined
  const mounted: Mounted = {
    target,
    ended,
    counts: new Uint32Array(OPCODES),
    noticesSent: async () => undefined,
    unmount() {
      unmounting ??= settled((done) => fuse.close(done)).then(() => {
        retire(operations)
        settleEnded()
      })
      return unmounting
    },
    [Symbol.asyncDispose]: () => mounted.unmount(),
  }
  return mounted
}

/**
 * Who still holds files of a mount that is gone gets ENOTCONN. The package keeps what it was given for as long as the
 * process lives, so it must not lead to the filesystem any more.
 */
function retire(operations: Operations): void {
  for (const name of Object.keys(operations)) {
    operations[name] = (...args: unknown[]) => {
      const done = args.at(-1)
      if (typeof done === 'function') done(-constants.errno.ENOTCONN)
    }
  }
}

async function detach(target: string): Promise<void> {
  if (platform() !== 'linux') {
    await promisify(execFile)('umount', ['-f', target])
    return
  }
  const errno = await loadSyscalls().umount(target, MNT_DETACH)
  if (errno !== 0 && errno !== EINVAL) {
    throw new DeviceError('UNMOUNT_FAILED', `cannot unmount ${target}: ${describeErrno(errno)}`, { errno })
  }
}

function settled(call: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    call((error) => (error ? reject(error) : resolve()))
  })
}
