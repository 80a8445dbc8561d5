import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { takeBytes } from './bytes.ts'
import type { Outgoing } from './outgoing.ts'
import { Refusal, type RefusalReason } from './refusal.ts'

/** SOCKS 5 (RFC 1928): no authentication, CONNECT only. Its messages bound their own length. */
export const SOCKS_VERSION = 5
const NO_AUTHENTICATION = 0
const NO_METHOD = 0xff
const CONNECT = 1
const REPLY = { granted: 0, failure: 1, notAllowed: 2, unreachable: 4, noSuchCommand: 7, noSuchAddress: 8 } as const

const REPLY_OF: Readonly<Record<RefusalReason, number>> = {
  not_allowed: REPLY.notAllowed,
  private_address: REPLY.notAllowed,
  malformed: REPLY.failure,
  unresolved: REPLY.unreachable,
  unreachable: REPLY.unreachable,
}

/** The connection that was asked for; `undefined` where there is none, and the client has been told. */
export async function negotiateSocks(client: Duplex, outgoing: Outgoing): Promise<Socket | undefined> {
  const greeting = await takeBytes(client, 2)
  const methods = greeting === undefined ? undefined : await takeBytes(client, greeting[1] ?? 0)
  if (methods === undefined) return undefined
  const offered = methods.includes(NO_AUTHENTICATION)
  client.write(Buffer.from([SOCKS_VERSION, offered ? NO_AUTHENTICATION : NO_METHOD]))
  const head = offered ? await takeBytes(client, 4) : undefined
  if (head === undefined) return end(client)
  const [version, command, , addressType] = head
  if (version !== SOCKS_VERSION || command !== CONNECT) {
    outgoing.malformed('not a SOCKS 5 CONNECT')
    return end(client, REPLY.noSuchCommand)
  }
  const host = await hostOf(client, addressType)
  const port = host === undefined ? undefined : await takeBytes(client, 2)
  if (host === undefined || port === undefined) {
    outgoing.malformed('not an address of SOCKS 5')
    return end(client, REPLY.noSuchAddress)
  }
  try {
    const socket = await outgoing.open(host, port.readUInt16BE(0))
    client.write(replyOf(REPLY.granted))
    return socket
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return end(client, REPLY_OF[error.reason])
  }
}

async function hostOf(client: Duplex, addressType: number | undefined): Promise<string | undefined> {
  switch (addressType) {
    case 1:
      return (await takeBytes(client, 4))?.join('.')
    case 3: {
      const length = (await takeBytes(client, 1))?.[0]
      return length === undefined ? undefined : (await takeBytes(client, length))?.toString('latin1')
    }
    case 4: {
      const bytes = await takeBytes(client, 16)
      return bytes?.toString('hex').match(/.{4}/g)?.join(':')
    }
    default:
      return undefined
  }
}

function end(client: Duplex, reply?: number): undefined {
  client.end(reply === undefined ? undefined : replyOf(reply))
  // What it still says is of no interest, but must be read for the end to be seen.
  client.resume()
}

/** The address that it was bound to is nobody's business. */
function replyOf(reply: number): Buffer {
  return Buffer.from([SOCKS_VERSION, reply, 0, 1, 0, 0, 0, 0, 0, 0])
}
