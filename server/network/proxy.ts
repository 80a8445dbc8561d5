import type { Duplex } from 'node:stream'
import type { Limits } from '../config/limits.ts'
import { endWhenIdle, httpProxy } from './http-proxy.ts'
import type { Outgoing } from './outgoing.ts'
import { negotiateSocks, SOCKS_VERSION } from './socks-proxy.ts'
import { splice } from './splice.ts'

/**
 * What speaks to the programs of one sandbox: SOCKS 5 or HTTP, as the first byte of a connection tells. All they say
 * is hostile input. How many connections there are, the agent is told and held to; each of them has a time in which to
 * say what it wants, and ends when it has been silent for long.
 */
export function createProxy(outgoing: Outgoing, limits: Limits): (client: Duplex) => void {
  const waiting = new WeakMap<Duplex, NodeJS.Timeout>()
  const stopWaiting = (client: Duplex) => clearTimeout(waiting.get(client))
  const wait = (client: Duplex) => {
    stopWaiting(client)
    waiting.set(
      client,
      setTimeout(() => client.destroy(), limits.proxyHeadMs),
    )
  }
  const http = httpProxy(outgoing, { limits, onRequest: stopWaiting, onAnswered: wait })

  return (client) => {
    wait(client)
    client.once('close', () => stopWaiting(client))
    client.once('readable', () => {
      const first = client.read() as Buffer | null
      if (first === null) {
        client.destroy()
        return
      }
      client.unshift(first)
      if (first[0] !== SOCKS_VERSION) {
        http.emit('connection', client)
        return
      }
      negotiateSocks(client, outgoing)
        .then((socket) => {
          if (socket === undefined) return
          stopWaiting(client)
          endWhenIdle(socket, limits)
          splice(client, socket)
        })
        .catch(() => client.destroy())
    })
  }
}
