import { readFile } from 'node:fs/promises'
import { isIPv6, type Socket } from 'node:net'

/**
 * Whether the other end of a connection over this machine's loop-back belongs to this user, or to root. Linux says so
 * in its tables of sockets (proc(5), `/proc/net/tcp`); elsewhere, and for peers on other machines, nobody can tell, and
 * what the user chose to listen on decides.
 */
export async function isOwnUser({ remoteAddress, remotePort, localAddress, localPort }: Socket): Promise<boolean> {
  if (process.platform !== 'linux') return true
  if (remoteAddress === undefined || localAddress === undefined) return false
  if (!isLoopback(remoteAddress)) return true
  const [peer, ours] = [endpoint(remoteAddress, remotePort), endpoint(localAddress, localPort)]
  const table = await readFile(isIPv6(remoteAddress) ? '/proc/net/tcp6' : '/proc/net/tcp', 'latin1')
  for (const line of table.split('\n')) {
    const [, local, remote, , , , , uid, , inode] = line.trim().split(/\s+/)
    if (local !== peer || remote !== ours) continue
    // Without an inode nobody holds it any more, and the user is not told: it said what it had to say and left.
    return inode !== '0' && (uid === '0' || uid === String(process.getuid?.()))
  }
  return false
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1' || address.startsWith('::ffff:127.')
}

/** In the table's form: words of 32 bits in the order of bytes of this machine, then the port. */
function endpoint(address: string, port: number | undefined): string {
  const words = isIPv6(address) ? wordsOf6(address) : [wordOf4(address)]
  const hex = (value: number, digits: number) => value.toString(16).toUpperCase().padStart(digits, '0')
  return `${words.map((word) => hex(word, 8)).join('')}:${hex(port ?? 0, 4)}`
}

function wordOf4(address: string): number {
  return asHere(address.split('.').map(Number))
}

/** Of `::1` and of IPv4 within IPv6, which are all there are on a loop-back. */
function wordsOf6(address: string): number[] {
  const mapped = /^::ffff:([\d.]+)$/.exec(address)?.[1]
  return mapped === undefined ? [0, 0, 0, asHere([0, 0, 0, 1])] : [0, 0, asHere([0, 0, 0xff, 0xff]), wordOf4(mapped)]
}

const IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

function asHere(bytes: readonly number[]): number {
  const buffer = Buffer.from(bytes)
  return IS_LITTLE_ENDIAN ? buffer.readUInt32LE(0) : buffer.readUInt32BE(0)
}
