import type { Duplex } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { scriptedAgent } from '../../test/fixtures/scripted-agent.ts'
import { OUTPUT_WINDOW_BYTES } from './channels.ts'
import { type Frame, INPUT_WINDOW_BYTES, MAX_PAYLOAD_BYTES } from './codec.ts'

const FIRST = 0x8000_0001
const ACCEPTED: Frame = { type: 'accepted', id: FIRST }

/** An agent that listens for at most two connections, which are kept. */
async function listening() {
  const scripted = scriptedAgent()
  const streams: Duplex[] = []
  const listens = scripted.agent.listen({ port: 1, maxConnections: 2, onConnection: (stream) => streams.push(stream) })
  scripted.say({ type: 'hello', version: 1 }, { type: 'listening', id: 0, errno: 0 })
  await listens
  return { ...scripted, streams }
}

const data = (id: number, bytes: number): Frame => ({ type: 'streamData', id, data: Buffer.alloc(bytes) })
const full = (id: number) =>
  Array.from({ length: OUTPUT_WINDOW_BYTES / MAX_PAYLOAD_BYTES }, () => data(id, MAX_PAYLOAD_BYTES))

describe('an agent that says of connections what cannot be is closed', () => {
  it.each<[string, Frame[]]>([
    ['more than it may accept', [ACCEPTED, { ...ACCEPTED, id: FIRST + 1 }, { ...ACCEPTED, id: FIRST + 2 }]],
    ['one with a number of the server’s', [{ ...ACCEPTED, id: 1 }]],
    ['one twice', [ACCEPTED, ACCEPTED]],
    ['bytes of none', [data(FIRST, 1)]],
    ['bytes without credit', [ACCEPTED, ...full(FIRST), data(FIRST, 1)]],
    ['no bytes', [ACCEPTED, data(FIRST, 0)]],
    ['bytes after the end', [ACCEPTED, { type: 'streamEnd', id: FIRST }, data(FIRST, 1)]],
    ['two ends', [ACCEPTED, { type: 'streamEnd', id: FIRST }, { type: 'streamEnd', id: FIRST }]],
    ['credit for what it has room for already', [ACCEPTED, { type: 'streamCredit', id: FIRST, bytes: 1 }]],
    [
      'two closes',
      [ACCEPTED, { type: 'streamClosed', id: FIRST, errno: 0 }, { type: 'streamClosed', id: FIRST, errno: 0 }],
    ],
    ['a second answer', [{ type: 'listening', id: 0, errno: 0 }]],
    ['one that was made as made', [ACCEPTED, { type: 'connected', id: FIRST }]],
    ['what is the server’s to say', [ACCEPTED, { type: 'streamReset', id: FIRST }]],
  ])('%s', async (_, frames) => {
    const { agent, say } = await listening()
    say(...frames)
    expect(await agent.closed).toMatchObject({ code: 'protocol' })
  })

  it('anything of one that is not made yet', async () => {
    const { agent, say } = await listening()
    const connecting = agent.connect(80, 4)
    say(data(1, 1))
    await expect(connecting).rejects.toMatchObject({ code: 'protocol' })
  })

  it('and connections to it before it was asked to listen', async () => {
    const { agent, say } = scriptedAgent()
    say({ type: 'hello', version: 1 }, ACCEPTED)
    expect(await agent.closed).toMatchObject({ code: 'protocol' })
  })
})

it('what is kept of a connection that nobody reads is one window', async () => {
  const { say, streams, told, agent } = await listening()
  say(ACCEPTED, ...full(FIRST))
  // Comes after all of them have been taken.
  say({ ...ACCEPTED, id: FIRST + 1 })
  while (streams.length < 2) await new Promise((resolve) => setImmediate(resolve))
  expect(streams[0]?.readableLength).toBe(OUTPUT_WINDOW_BYTES)
  expect(told.filter(({ type }) => type === 'streamCredit')).toEqual([])
  agent.close()
})

it('no more is sent to one that does not read than it has room for', async () => {
  const { say, streams, told, heard, agent } = await listening()
  say(ACCEPTED)
  while (streams.length < 1) await new Promise((resolve) => setImmediate(resolve))
  streams[0]?.write(Buffer.alloc(3 * INPUT_WINDOW_BYTES))
  const sent = () => told.reduce((sum, frame) => sum + (frame.type === 'streamData' ? frame.data.length : 0), 0)
  await heard(() => sent() === INPUT_WINDOW_BYTES)
  say({ type: 'streamCredit', id: FIRST, bytes: 10 })
  await heard(() => sent() === INPUT_WINDOW_BYTES + 10)
  agent.close()
})

it('one that was given up here stays counted until the agent has closed it', async () => {
  const { say, streams, agent } = await listening()
  say(ACCEPTED, { ...ACCEPTED, id: FIRST + 1 })
  while (streams.length < 2) await new Promise((resolve) => setImmediate(resolve))
  for (const stream of streams) stream.destroy()
  // What was on its way is no fault.
  say(data(FIRST, 1), { type: 'streamEnd', id: FIRST }, { type: 'streamClosed', id: FIRST, errno: 104 })
  say({ ...ACCEPTED, id: FIRST + 2 })
  while (streams.length < 3) await new Promise((resolve) => setImmediate(resolve))
  say({ ...ACCEPTED, id: FIRST + 3 })
  expect(await agent.closed).toMatchObject({ code: 'protocol' })
})
