import { chmodSync, chownSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { basename, dirname } from 'node:path'
import { deferred } from '../agent/deferred.ts'

export interface MeetingPlace {
  /** The first that has come. Rejects where nobody does. */
  readonly met: Promise<Socket>
  /** Nobody is waited for any more. */
  close(): void
}

/**
 * A unix socket at which one connection is taken. By then it is gone, closed and unlinked: nothing that runs later can
 * speak in the place of whoever was first. Only that user can reach it.
 */
export async function openMeetingPlace(
  path: string,
  { uid, gid }: { uid: number; gid: number },
): Promise<MeetingPlace> {
  const { promise: met, resolve, reject } = deferred<Socket>()
  // Nobody may be waiting yet.
  met.catch(() => undefined)
  const server = createServer({ allowHalfOpen: false })
  server.maxConnections = 1
  const close = () => {
    server.close()
    rmSync(path, { force: true })
  }
  server.once('connection', (socket) => {
    close()
    // A broken connection is an end like any other; until somebody reads it nobody listens.
    socket.on('error', () => socket.destroy())
    resolve(socket)
  })
  // The name under which it listens can be read inside, in /proc/net/unix: it says nothing of the host.
  const directory = await open(dirname(path), 'r')
  try {
    await new Promise<void>((listening, failed) => {
      server.once('error', failed)
      server.listen(`/proc/self/fd/${directory.fd}/${basename(path)}`, listening)
    })
  } finally {
    await directory.close()
  }
  server.on('error', reject)
  chmodSync(path, 0o600)
  if (process.getuid?.() === 0) chownSync(path, uid, gid)
  return { met, close }
}
