import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type FuzzedAgent, startFuzzedAgent } from '../fixtures/agent-fuzz/driver.ts'
import { conversation, fromAgent, hostileBytes, toAgent } from '../fixtures/agent-fuzz/frames.ts'
import { scriptedAgent } from '../fixtures/scripted-agent.ts'
import { has, needs } from '../needs.ts'

/** For each side. `CROFT_FUZZ_MS=600000 CROFT_SEED=random` looks for longer, and for new inputs. */
const FUZZ_MS = Number(process.env['CROFT_FUZZ_MS'] ?? 3_000)
/** More than there is time for; those that are beyond it are made and thrown away. */
const MOST_RUNS = FUZZ_MS
const timeout = FUZZ_MS * 2 + 60_000

/** Tries the property for so long. Not by fast-check's own limit, which leaves the last input to itself. */
async function forAWhile<T>(inputs: fc.Arbitrary<T>, property: (input: T) => Promise<void>): Promise<void> {
  const untilMs = performance.now() + FUZZ_MS
  const inTime = fc.asyncProperty(inputs, async (input) => {
    if (performance.now() < untilMs) await property(input)
  })
  await fc.assert(inTime, { numRuns: MOST_RUNS })
}

describe('what the server may say', () => {
  let fuzzed: FuzzedAgent | undefined

  beforeAll(async () => {
    if (await has('sanitizers', 'bwrap')) fuzzed = await startFuzzedAgent()
  }, 120_000)

  afterAll(() => fuzzed?.[Symbol.asyncDispose]())

  beforeEach((context) => needs(context, 'sanitizers', 'bwrap'))

  async function check(input: Buffer): Promise<void> {
    const agent = fuzzed as FuzzedAgent
    const ending = await agent.feed(input)
    if (ending !== 'ended' && ending !== 'filtered') expect.fail(`${ending}: ${agent.said()}`)
  }

  it('ends the agent at worst, and never by a fault of its memory', { timeout }, async () => {
    await forAWhile(hostileBytes(toAgent), check)
  })

  it('is held so with each byte of a conversation being the highest', { timeout }, async () => {
    const input = conversation()
    for (let at = 0; at < input.length; at++) {
      const turned = Buffer.from(input)
      turned[at] = 0xff
      await check(turned)
    }
  })

  it('may be nothing, a part of a frame, or more than any buffer', async () => {
    for (const input of [Buffer.alloc(0), Buffer.alloc(3), Buffer.alloc(200_000, 0xff), conversation()])
      await check(input)
  })
})

describe('what an agent may say', () => {
  it('closes its own connection at worst, whatever it says, in whatever pieces, and no other', {
    timeout,
  }, async () => {
    const neighbour = scriptedAgent()
    neighbour.say({ type: 'hello', version: 1 })
    let lastId = 0
    neighbour.answer((frame) => {
      if (frame.type === 'spawn') neighbour.say({ type: 'started', id: frame.id, pid: 7 })
    })
    const faults: unknown[] = []
    const onFault = (error: unknown) => faults.push(error)
    process.on('unhandledRejection', onFault)
    const inputs = fc.tuple(hostileBytes(fromAgent), fc.integer({ min: 1, max: 5_000 }))
    const check = async ([said, piece]: [Buffer, number]): Promise<void> => {
      const hostile = scriptedAgent({ sync: () => Promise.resolve() })
      hostile.say({ type: 'hello', version: 1 })
      const spec = { argv: ['prog'], env: {}, cwd: '/', stdin: true }
      const spawned = Promise.allSettled([1, 2, 3].map(() => hostile.agent.spawn(spec)))
      for (let at = 0; at < said.length; at += piece) hostile.theirs.write(said.subarray(at, at + piece))
      hostile.theirs.end()
      const reason = await hostile.agent.closed
      expect(['protocol', 'closed']).toContain(reason?.code)
      // Whoever waits for it is told.
      for (const outcome of await spawned) {
        if (outcome.status === 'fulfilled') await outcome.value.exited.catch(() => undefined)
      }
      lastId += 1
      const started = await neighbour.agent.spawn(spec)
      expect(started.pid).toBe(7)
      neighbour.say(...[0, 1, 2].map((channel) => ({ type: 'end' as const, id: lastId, channel })), {
        type: 'exited',
        id: lastId,
        code: 0,
        signal: 0,
        cpuUserUs: 0,
        cpuSystemUs: 0,
        maxRssBytes: 0,
      })
      expect(await started.exited).toMatchObject({ code: 0 })
      expect(faults).toEqual([])
    }
    try {
      await forAWhile(inputs, check)
    } finally {
      process.off('unhandledRejection', onFault)
    }
  })
})
