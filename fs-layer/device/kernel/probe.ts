import { closeSync, constants, existsSync, openSync } from 'node:fs'
import { mkdtemp, rmdir } from 'node:fs/promises'
import { platform, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Finding } from '../choose.ts'
import { findFusermount, mountByFusermount, needsFusermount, unmounting } from './fusermount.ts'
import { describeErrno, loadSyscalls, MNT_DETACH, MS_NODEV, MS_NOSUID } from './syscalls.ts'

/** Of the protocol that is spoken at least (7.31). */
const OLDEST_LINUX = [5, 4] as const

const WITHOUT_HELPER = 'an ordinary user needs fusermount3: apt-get install fuse3, or run as root'

/**
 * Whether `/dev/fuse` is there and may be mounted: by mounting it on a directory that only we can reach. Nobody answers
 * there, and it is gone before anybody could ask.
 */
export async function probeKernelDevice(): Promise<Finding> {
  if (platform() !== 'linux') return no(`it needs Linux, and this is ${platform()}`)
  if (isOlder(release(), OLDEST_LINUX)) return no(`it needs Linux ${OLDEST_LINUX.join('.')}, and this is ${release()}`)
  if (!existsSync('/dev/fuse')) return no('there is no /dev/fuse: modprobe fuse')
  if (needsFusermount() && findFusermount() === undefined) return no(WITHOUT_HELPER)
  const directory = await mkdtemp(join(tmpdir(), 'croft-probe-'))
  try {
    if (needsFusermount()) return await tryFusermount(directory)
    const errno = await tryMount(directory)
    if (errno === null) return { able: true, reason: `Linux ${release()} lets us mount /dev/fuse` }
    return no(`/dev/fuse cannot be ${errno}; run as root, or in a container with CAP_SYS_ADMIN and --device /dev/fuse`)
  } finally {
    await rmdir(directory)
  }
}

async function tryFusermount(directory: string): Promise<Finding> {
  try {
    const syscalls = loadSyscalls()
    syscalls.close(await mountByFusermount(directory, 'croft-probe'))
    const errno = await unmounting(syscalls)(directory, MNT_DETACH)
    if (errno !== 0) return no(`fusermount3 does not unmount (${describeErrno(errno)}); run as root`)
    return { able: true, reason: `Linux ${release()}, and fusermount3 mounts /dev/fuse for us` }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return no(`${message}; let users open /dev/fuse (chmod 666), give this one a line in /etc/passwd, or run as root`)
  }
}

/** What cannot be done and why, or `null`. */
async function tryMount(directory: string): Promise<string | null> {
  let fd: number
  try {
    fd = openSync('/dev/fuse', constants.O_RDWR | constants.O_NONBLOCK)
  } catch (error) {
    return `opened (${error instanceof Error ? error.message : String(error)})`
  }
  try {
    const syscalls = loadSyscalls()
    const data = `fd=${fd},rootmode=40000,user_id=${process.geteuid?.() ?? 0},group_id=${process.getegid?.() ?? 0}`
    if (syscalls.mount('croft-probe', directory, 'fuse.croft', MS_NOSUID | MS_NODEV, data) !== 0) {
      return `mounted (${describeErrno(syscalls.errno())})`
    }
    const errno = await syscalls.umount(directory, MNT_DETACH)
    return errno === 0 ? null : `unmounted (${describeErrno(errno)})`
  } finally {
    closeSync(fd)
  }
}

function isOlder(version: string, [major, minor]: readonly [number, number]): boolean {
  const [thisMajor = 0, thisMinor = 0] = version.split('.').map((part) => Number.parseInt(part, 10))
  return thisMajor < major || (thisMajor === major && thisMinor < minor)
}

function no(reason: string): Finding {
  return { able: false, reason }
}
