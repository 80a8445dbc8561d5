import { connect, type Socket } from 'node:net'

/** To the first of the addresses that answers, each with its part of the time. Rejects with what the last one said. */
export async function dial(addresses: readonly string[], port: number, timeoutMs: number): Promise<Socket> {
  let last: unknown
  for (const address of addresses) {
    try {
      return await dialOne(address, port, timeoutMs / addresses.length)
    } catch (error) {
      last = error
    }
  }
  throw last
}

function dialOne(address: string, port: number, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    // By address: nothing is looked up a second time.
    const socket = connect({ host: address, port, allowHalfOpen: true, noDelay: true })
    socket.setTimeout(timeoutMs)
    socket.once('timeout', () => socket.destroy(new Error(`no answer in ${Math.round(timeoutMs)} ms`)))
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.removeAllListeners('timeout').removeListener('error', reject).setTimeout(0)
      resolve(socket)
    })
  })
}
