import type { Config } from '../config/schema.ts'
import type { Caller } from './caller.ts'
import type { Door } from './gate.ts'

/** Everything is allowed to whoever may read the server's memory anyway. */
const OWN_USER: Door = { name: 'unix', caller: { owner: '', role: 'admin', name: 'own user' } }

const WITH_TOKEN_ONLY: Door = { name: 'unix' }

const ANYONE: Caller = { owner: '', role: 'admin', name: 'anyone' }

/** The door for TCP. */
export function tcpDoor({ dangerouslyLetAnyoneIn }: Pick<Config, 'dangerouslyLetAnyoneIn'>): Door {
  return { name: 'tcp', ...(dangerouslyLetAnyoneIn ? { caller: ANYONE } : {}) }
}

/** What the gateway for HTTP says of whom it speaks for. */
export const PEER_HEADER = 'croft-peer'

/** The door for HTTP. */
export function httpDoor({ dangerouslyLetAnyoneIn }: Pick<Config, 'dangerouslyLetAnyoneIn'>): Door {
  return { name: 'http', peerHeader: PEER_HEADER, ...(dangerouslyLetAnyoneIn ? { caller: ANYONE } : {}) }
}

/** By whose process is at the other end of a unix socket. Without `peers` the socket's mode lets nobody else near. */
export function unixDoors({ peers }: Pick<Config, 'peers'>, ownUid: number): (uid: number | undefined) => Door {
  if (peers.length === 0) return () => OWN_USER
  const doors = new Map<number, Door>(
    peers.map(({ uid, owner, role }) => [uid, { name: 'unix', caller: { owner, role, name: `uid ${uid}` } }]),
  )
  doors.set(0, OWN_USER)
  doors.set(ownUid, OWN_USER)
  return (uid) => (uid === undefined ? undefined : doors.get(uid)) ?? WITH_TOKEN_ONLY
}
