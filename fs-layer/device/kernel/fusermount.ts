import { existsSync, constants as fsConstants, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { execa } from 'execa'
import koffi from 'koffi'
import { cFunctions } from '../../c-library.ts'
import { DeviceError } from '../device.ts'
import { describeErrno, EINVAL, type Syscalls } from './syscalls.ts'

/**
 * The program of the package `fuse3` that mounts for whoever may not, being root's: it opens `/dev/fuse`, mounts it, and
 * sends the descriptor over a socket that it inherits as the number in `_FUSE_COMMFD`, with one byte beside it.
 * Only the user that it mounted for reaches the mount, root not among them.
 */
const PLACES = ['/usr/bin/fusermount3', '/bin/fusermount3', '/usr/local/bin/fusermount3'] as const

/** It looks at what it unmounts, and could wait for a mount that nobody serves. */
const HELPER_MAX_MS = 10_000

/** Whether this process has to ask it. */
export function needsFusermount(): boolean {
  return process.geteuid?.() !== 0
}

export function findFusermount(): string | undefined {
  return PLACES.find((path) => existsSync(path))
}

/** Resolves with the open connection, which Node knows nothing of: the caller closes it by `Syscalls.close`. */
export async function mountByFusermount(target: string, name: string): Promise<number> {
  const [ours, theirs] = socketPair()
  try {
    const fsname = name.replace(/[\\,]/g, '\\$&')
    const options = `rw,nosuid,nodev,fsname=${fsname},subtype=croft,default_permissions`
    const stdio = { stdio: ['ignore', 'ignore', 'pipe', theirs] as ['ignore', 'ignore', 'pipe', 3] }
    const env = { _FUSE_COMMFD: '3' }
    const said = await execa(program(), ['-o', options, '--', target], {
      ...stdio,
      env,
      reject: false,
      timeout: HELPER_MAX_MS,
    })
    if (said.exitCode !== 0) throw new DeviceError('MOUNT_FAILED', `cannot mount on ${target}: ${lastLine(said)}`)
    return receiveDescriptor(ours, target)
  } finally {
    libc.close(ours)
    libc.close(theirs)
  }
}

/** How this process unmounts. Resolves with an errno, or 0; `fusermount3` always does it lazily. */
export function unmounting(syscalls: Syscalls): Syscalls['umount'] {
  return needsFusermount() ? unmountByFusermount : syscalls.umount
}

async function unmountByFusermount(target: string): Promise<number> {
  const { exitCode } = await execa(program(), ['-u', '-z', '--', target], {
    ...{ reject: false, stdio: 'ignore', timeout: HELPER_MAX_MS },
  })
  if (exitCode === 0) return 0
  return isMounted(target) ? constants.errno.EPERM : EINVAL
}

function isMounted(target: string): boolean {
  const escaped = target.replace(
    /[ \t\n\\]/g,
    (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`,
  )
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${escaped} `)
}

function program(): string {
  const found = findFusermount()
  if (found === undefined) throw new DeviceError('DEVICE_MISSING', 'there is no fusermount3: apt-get install fuse3')
  return found
}

function lastLine({ stderr, shortMessage }: { stderr: unknown; shortMessage?: string | undefined }): string {
  const line = String(stderr ?? '')
    .trim()
    .split('\n')
    .pop()
  return line === undefined || line === '' ? (shortMessage ?? 'fusermount3 failed') : line
}

const IoVector = koffi.struct({ base: 'void *', length: 'size_t' })
/** `struct msghdr` */
const Message = koffi.struct({
  name: 'void *',
  nameLength: 'uint32_t',
  vectors: koffi.pointer(IoVector),
  vectorCount: 'size_t',
  control: 'void *',
  controlLength: 'size_t',
  flags: 'int',
})

const libc = cFunctions<{
  socketpair(domain: number, type: number, protocol: number, into: Buffer): number
  recvmsg(socket: number, message: object, flags: number): number
  fcntl(fd: number, command: number, argument: number): number
  close(fd: number): number
}>({
  socketpair: ['int', ['int', 'int', 'int', 'void *']],
  recvmsg: ['int', ['int', koffi.inout(koffi.pointer(Message)), 'int']],
  fcntl: ['int', ['int', 'int', 'int']],
  close: ['int', ['int']],
})

const AF_UNIX = 1
const SOCK_STREAM_CLOEXEC = 0o2000001
const MSG_DONTWAIT_CLOEXEC = 0x4000_0040
const F_SETFL = 4
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
/** `struct cmsghdr` with one descriptor in it, and with what fills it up. */
const CONTROL_BYTES = 20
const CONTROL_SPACE = 24

function socketPair(): [number, number] {
  const pair = Buffer.alloc(8)
  if (libc.socketpair(AF_UNIX, SOCK_STREAM_CLOEXEC, 0, pair) !== 0) {
    throw new DeviceError('MOUNT_FAILED', `cannot make a pair of sockets: ${describeErrno(koffi.errno())}`)
  }
  return [pair.readInt32LE(0), pair.readInt32LE(4)]
}

/** What was sent is there: the sender has ended. */
function receiveDescriptor(socket: number, target: string): number {
  const control = Buffer.alloc(CONTROL_SPACE)
  const message = {
    ...{ name: null, nameLength: 0, vectors: [{ base: Buffer.alloc(1), length: 1 }], vectorCount: 1 },
    ...{ control, controlLength: CONTROL_SPACE, flags: 0 },
  }
  const received = libc.recvmsg(socket, message, MSG_DONTWAIT_CLOEXEC)
  const isDescriptor =
    received === 1 &&
    control.readUInt32LE(0) === CONTROL_BYTES &&
    control.readInt32LE(8) === SOL_SOCKET &&
    control.readInt32LE(12) === SCM_RIGHTS
  if (!isDescriptor) throw new DeviceError('MOUNT_FAILED', `fusermount3 sent no descriptor for ${target}`)
  const fd = control.readInt32LE(16)
  libc.fcntl(fd, F_SETFL, fsConstants.O_RDWR | fsConstants.O_NONBLOCK)
  return fd
}
