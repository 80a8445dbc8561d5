import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeFrame, type Frame, FrameDecoder } from '../../runtimes/agent/codec.ts'
import { deferred } from '../../runtimes/agent/deferred.ts'
import { type AgentAlone, sh, startAgentAlone, startAgentRaw } from '../fixtures/agent-alone.ts'
import { freePort } from '../fixtures/free-port.ts'

let alone: AgentAlone
const servers: Server[] = []

beforeEach(() => {
  alone = startAgentAlone()
})

afterEach(async () => {
  alone.agent.close()
  await alone.ended
  for (const server of servers.splice(0)) server.close()
})

/** The agent listens, and hands what it accepts to `onConnection`. */
async function listening(onConnection: (stream: Duplex) => void, maxConnections = 4): Promise<number> {
  const port = await freePort()
  await alone.agent.listen({ port, maxConnections, onConnection })
  return port
}

async function serve(onConnection: (socket: Socket) => void, host = '127.0.0.1'): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    // The end of a test is a reset to whoever is still connected.
    socket.on('error', () => undefined)
    onConnection(socket)
  })
  servers.push(server)
  await once(server.listen(0, host), 'listening')
  return (server.address() as AddressInfo).port
}

/** To its end. (An iteration would destroy the stream then, and with it the other way.) */
async function allOf(stream: Duplex): Promise<Buffer> {
  const pieces: Buffer[] = []
  stream.on('data', (piece: Buffer) => pieces.push(piece))
  await once(stream, 'end')
  return Buffer.concat(pieces)
}

const echo = (stream: Duplex) => void stream.pipe(stream)

describe('a connection that a program makes', () => {
  it('carries bytes both ways, each way to its own end', async () => {
    const port = await listening(echo)
    const sent = randomBytes(3_000_000)
    const socket = connect(port, '127.0.0.1')
    socket.end(sent)
    expect(Buffer.compare(await allOf(socket), sent)).toBe(0)
  })

  it('stops its writer when nobody reads, and nothing else', async () => {
    const { promise, resolve } = deferred<Duplex>()
    const port = await listening(resolve)
    const socket = connect(port, '127.0.0.1')
    // More than all buffers on the way hold.
    const sent = randomBytes(32_000_000)
    socket.on('error', () => undefined).end(sent)
    const stream = await promise
    expect((await sh(alone.agent, 'echo alive')).stdout.toString()).toBe('alive\n')
    expect(socket.writableLength).toBeGreaterThan(0)
    expect(Buffer.compare(await allOf(stream), sent)).toBe(0)
    stream.end()
  })

  it('is reset when our side gives it up', async () => {
    const port = await listening((stream) => stream.destroy())
    const socket = connect(port, '127.0.0.1')
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
    expect(error.code).toBe('ECONNRESET')
  })

  it('waits where there are as many as may be, and comes when one has gone', async () => {
    const streams: Duplex[] = []
    let more: () => void = () => undefined
    const port = await listening((stream) => {
      streams.push(stream)
      more()
    }, 2)
    const arrived = (count: number) =>
      new Promise<void>((resolve) => {
        more = () => (streams.length >= count ? resolve() : undefined)
        more()
      })
    const sockets = Array.from({ length: 3 }, () => connect(port, '127.0.0.1').on('error', () => undefined))
    await Promise.all(sockets.map((socket) => once(socket, 'connect')))
    await arrived(2)
    expect((await sh(alone.agent, 'echo alive')).stdout.toString()).toBe('alive\n')
    expect(streams).toHaveLength(2)
    streams[0]?.destroy()
    await arrived(3)
    for (const socket of sockets) socket.destroy()
  })
})

describe('a connection that is asked for', () => {
  it.each<[4 | 6, string]>([
    [4, '127.0.0.1'],
    [6, '::1'],
  ])('of family %i reaches a server on %s', async (family, host) => {
    const port = await serve((socket) => void socket.pipe(socket), host)
    const stream = await alone.agent.connect(port, family)
    const sent = randomBytes(3_000_000)
    stream.end(sent)
    expect(Buffer.compare(await allOf(stream), sent)).toBe(0)
  })

  it('to a port that nobody listens on rejects', async () => {
    await expect(alone.agent.connect(await freePort(), 4)).rejects.toMatchObject({
      code: 'connect',
      errno: 'ECONNREFUSED',
    })
  })

  it('says more after the other side has ended', async () => {
    const port = await serve((socket) => {
      socket.end('first')
      socket.on('data', (data) => received.push(data))
      socket.on('end', () => over())
    })
    const received: Buffer[] = []
    let over: () => void = () => undefined
    const ended = new Promise<void>((resolve) => {
      over = resolve
    })
    const stream = await alone.agent.connect(port, 4)
    expect((await allOf(stream)).toString()).toBe('first')
    stream.end('then')
    await ended
    expect(Buffer.concat(received).toString()).toBe('then')
  })

  it('is an error when the server inside dies half-way', async () => {
    const port = await serve((socket) => {
      socket.write('part')
      socket.once('data', () => socket.resetAndDestroy())
    })
    const stream = await alone.agent.connect(port, 4)
    stream.write('go on')
    await expect(allOf(stream)).rejects.toMatchObject({ code: 'closed', errno: 'ECONNRESET' })
  })

  it('ends with the agent', async () => {
    const port = await serve(() => undefined)
    const stream = await alone.agent.connect(port, 4)
    const broken = once(stream, 'error')
    alone.agent.close()
    expect(await broken).toMatchObject([{ code: 'closed' }])
  })
})

describe('what the server must not say ends the agent', () => {
  const LISTEN: Frame = { type: 'listen', id: 0, port: 1, maxConnections: 1, windowBytes: 1 }
  it.each<[string, Frame[]]>([
    [
      'a second listen',
      [
        { ...LISTEN, port: 40_001 },
        { ...LISTEN, port: 40_001 },
      ],
    ],
    ['more connections than it can hold', [{ ...LISTEN, maxConnections: 513 }]],
    ['a connect with an id of its own kind', [{ type: 'connect', id: 2 ** 31, port: 1, family: 4, windowBytes: 1 }]],
    ['its own frames', [{ type: 'accepted', id: 2 ** 31 }]],
  ])('%s', async (_, frames) => {
    const { stream, ended } = startAgentRaw()
    stream.on('error', () => undefined).resume()
    stream.write(Buffer.concat(frames.map(encodeFrame)))
    expect(await ended).toBe(1)
  })

  it('but not frames about a connection that has just gone', async () => {
    const { stream, ended } = startAgentRaw()
    const decoder = new FrameDecoder()
    stream.write(
      Buffer.concat(
        (['streamEnd', 'streamReset'] as const)
          .map((type) => encodeFrame({ type, id: 9 }))
          .concat(encodeFrame({ type: 'connect', id: 1, port: await freePort(), family: 4, windowBytes: 1 })),
      ),
    )
    const heard: Frame[] = []
    for await (const piece of stream) {
      heard.push(...decoder.decode(piece as Buffer))
      if (heard.some(({ type }) => type === 'streamClosed')) break
    }
    expect(await ended).toBe(0)
  })
})
