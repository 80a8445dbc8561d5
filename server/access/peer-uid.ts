import type { Socket } from 'node:net'
import { cFunctions } from '../../fs-layer/c-library.ts'

/** For Linux on all of its usual processors; `struct ucred` is three numbers of 32 bits: pid, uid, gid (unix(7)). */
const SOL_SOCKET = 1
const SO_PEERCRED = 17
const UCRED_BYTES = 12
const UID_AT = 4

const { getsockopt } = cFunctions<{
  getsockopt: (fd: number, level: number, option: number, value: Buffer, length: Int32Array) => number
}>({ getsockopt: ['int', ['int', 'int', 'int', 'void *', 'void *']] })

/** Who connected to a unix socket, as the kernel noted it then. `undefined` where it does not say. */
export function peerUid(connection: Socket): number | undefined {
  // Node has no way to ask, and hands the descriptor out only here.
  const fd = (connection as unknown as { _handle?: { fd?: number } })._handle?.fd
  if (process.platform !== 'linux' || fd === undefined || fd < 0) return undefined
  const value = Buffer.alloc(UCRED_BYTES)
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, Int32Array.of(UCRED_BYTES)) !== 0) return undefined
  return process.arch === 's390x' ? value.readUInt32BE(UID_AT) : value.readUInt32LE(UID_AT)
}
