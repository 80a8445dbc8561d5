import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, it } from 'vitest'
import { deferred } from '../concurrency/deferred.ts'
import { limitsSchema } from '../config/limits.ts'
import { NetworkTrail } from './network-trail.ts'
import { Outgoing } from './outgoing.ts'
import { rulesOf } from './parse-network.ts'

function outgoing(allow: string[], lookup: (name: string) => Promise<readonly string[]>, own: string[] = []) {
  const limits = limitsSchema.parse({ maxProxyConnections: 2 })
  const trail = new NetworkTrail({ maxEntries: 10 }, { nowMs: () => 0 })
  return new Outgoing({ rules: rulesOf(allow), limits }, { lookup, ownAddresses: () => own, trail })
}

it('no more connections are being made than there may be, though those who asked have gone', async () => {
  const { promise: found, resolve: find } = deferred<readonly string[]>()
  const asked: string[] = []
  const out = outgoing(['*.test'], (name) => {
    asked.push(name)
    return found
  })
  const made = [out.open('a.test', 80), out.open('b.test', 80)]
  await expect(out.open('c.test', 80)).rejects.toMatchObject({ message: 'too many connections are being made' })
  // One name at a time, whatever is asked for.
  expect(asked).toEqual(['a.test'])
  find([])
  for (const one of made) await expect(one).rejects.toMatchObject({ reason: 'unresolved' })
  await expect(out.open('c.test', 80)).rejects.toMatchObject({ reason: 'unresolved' })
  expect(asked).toEqual(['a.test', 'b.test', 'c.test'])
})

it('an address of the host’s own is not gone to, though it is public', async () => {
  const out = outgoing(['own.test'], async () => ['1.2.3.4'], ['1.2.3.4'])
  await expect(out.open('own.test', 80)).rejects.toMatchObject({ reason: 'private_address' })
})

it('of several addresses those are tried that may be, until one answers', async () => {
  const server = createServer((socket) => socket.end())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const out = outgoing([`a.test:${port}`, `127.0.0.1:${port}`], async () => ['10.0.0.1', '127.0.0.1'])
  const socket = await out.open('a.test', port)
  expect(socket.remoteAddress).toBe('127.0.0.1')
  socket.destroy()
  server.close()
})
