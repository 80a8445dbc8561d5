import { describe, expect, it } from 'vitest'
import { scriptedAgent } from '../../test/fixtures/scripted-agent.ts'
import { type Agent, AgentError, type AgentProcess } from '../contract/agent.ts'
import { OUTPUT_WINDOW_BYTES } from './channels.ts'
import { type Frame, INPUT_WINDOW_BYTES, MAX_PAYLOAD_BYTES } from './codec.ts'

const SPEC = { argv: ['prog'], env: {}, cwd: '/' }
const STATUS = { code: 0, signal: 0, cpuUserUs: 0, cpuSystemUs: 0, maxRssBytes: 0 }

async function started(): Promise<ReturnType<typeof scriptedAgent> & { process: AgentProcess }> {
  const scripted = scriptedAgent()
  const spawning = scripted.agent.spawn({ ...SPEC, stdin: true })
  scripted.say({ type: 'hello', version: 1 }, { type: 'started', id: 1, pid: 7 })
  return { ...scripted, process: await spawning }
}

async function violation(agent: Agent): Promise<string> {
  const reason = await agent.closed
  expect(reason).toBeInstanceOf(AgentError)
  expect(reason?.code).toBe('protocol')
  return reason?.message ?? ''
}

describe('a hostile agent', () => {
  it('may have no more syncs wait than programs that an honest one lets wait', async () => {
    let waiting = 0
    const { agent, say } = scriptedAgent({
      sync: () => {
        waiting += 1
        return new Promise(() => undefined)
      },
    })
    const syncs = Array.from({ length: 65 }, (_, at): Frame => ({ type: 'sync', token: BigInt(at + 1) }))
    say({ type: 'hello', version: 1 }, ...syncs.slice(0, 64))
    await expect.poll(() => waiting).toBe(64)
    say(...syncs.slice(64))
    expect(await violation(agent)).toContain('more than it may at once')
  })

  it.each<[string, Frame[]]>([
    ['does not greet first', [{ type: 'started', id: 1, pid: 7 }]],
    ['speaks version 9', [{ type: 'hello', version: 9 }]],
    [
      'greets twice',
      [
        { type: 'hello', version: 1 },
        { type: 'hello', version: 1 },
      ],
    ],
    [
      'process 5, which is none',
      [
        { type: 'hello', version: 1 },
        { type: 'started', id: 5, pid: 7 },
      ],
    ],
    [
      'a spawn frame',
      [
        { type: 'hello', version: 1 },
        { ...spawnFrame(), id: 1 },
      ],
    ],
    [
      'an exit of what does not run',
      [
        { type: 'hello', version: 1 },
        { type: 'exited', id: 1, ...STATUS },
      ],
    ],
  ])('is cut off: %s', async (fault, frames) => {
    const { agent, say } = scriptedAgent()
    const spawning = agent.spawn(SPEC)
    say(...frames)
    await expect(spawning).rejects.toMatchObject({ code: 'protocol' })
    expect(await violation(agent)).toContain(fault)
  })

  it.each<[string, Frame[]]>([
    ['a start of what has started', [{ type: 'started', id: 1, pid: 8 }]],
    ['a failed start', [{ type: 'failed', id: 1, stage: 'exec', errno: 2 }]],
    ['an end of channel 3', [{ type: 'end', id: 1, channel: 3 }]],
    [
      'an end of channel 1',
      [
        { type: 'end', id: 1, channel: 1 },
        { type: 'end', id: 1, channel: 1 },
      ],
    ],
    ['empty data', [{ type: 'data', id: 1, channel: 1, data: Buffer.alloc(0) }]],
    ['data on channel 0', [{ type: 'data', id: 1, channel: 0, data: Buffer.alloc(1) }]],
    ['credit of 1 bytes', [{ type: 'credit', id: 1, channel: 0, bytes: 1 }]],
    ['credit for channel 1', [{ type: 'credit', id: 1, channel: 1, bytes: 1 }]],
  ])('is cut off when a process runs: %s', async (fault, frames) => {
    const { agent, say, process } = await started()
    say(...frames)
    expect(await violation(agent)).toContain(fault)
    await expect(process.exited).rejects.toMatchObject({ code: 'protocol' })
  })

  it('may send a window of output to a reader that is slow, and is cut off at one byte more', async () => {
    const { agent, say, process } = await started()
    const frame: Frame = { type: 'data', id: 1, channel: 1, data: Buffer.alloc(MAX_PAYLOAD_BYTES) }
    for (let sent = 0; sent < OUTPUT_WINDOW_BYTES; sent += MAX_PAYLOAD_BYTES) say(frame)
    say({ type: 'credit', id: 1, channel: 2, bytes: 0 })
    expect(await violation(agent)).toContain('credit for channel 2')
    expect(process.stdout.readableLength).toBe(OUTPUT_WINDOW_BYTES)

    const second = await started()
    for (let sent = 0; sent < OUTPUT_WINDOW_BYTES; sent += MAX_PAYLOAD_BYTES) second.say(frame)
    second.say({ ...frame, data: Buffer.alloc(1) })
    expect(await violation(second.agent)).toContain('more data than it had credit for')
  })

  it('that does not read is cut off before what waits for it grows without bound', async () => {
    const maxUnreadBytes = 1024
    const { agent, theirs } = scriptedAgent({ maxUnreadBytes })
    theirs.pause()
    const huge = { ...SPEC, argv: ['x'.repeat(16 * maxUnreadBytes + 1)] }
    const refused = agent.spawn(huge)
    await expect(refused).rejects.toMatchObject({ code: 'protocol' })
    expect(await violation(agent)).toContain('does not read')
  })

  it('that goes away fails what waits for it, and every later spawn', async () => {
    const { agent, process, theirs } = await started()
    theirs.end()
    expect((await agent.closed)?.code).toBe('closed')
    await expect(process.exited).rejects.toMatchObject({ code: 'closed' })
    await expect(agent.spawn(SPEC)).rejects.toMatchObject({ code: 'closed' })
  })
})

describe('the client of the agent', () => {
  it('sends no more input than there is credit for, and the rest when there is', async () => {
    const { say, told, heard, process } = await started()
    const dataBytes = () => told.reduce((sum, frame) => sum + (frame.type === 'data' ? frame.data.length : 0), 0)
    const written = new Promise<void>((resolve) =>
      process.stdin?.end(Buffer.alloc(INPUT_WINDOW_BYTES + 10), () => resolve()),
    )
    await heard(() => dataBytes() >= INPUT_WINDOW_BYTES)
    expect(dataBytes()).toBe(INPUT_WINDOW_BYTES)
    expect(told.some((frame) => frame.type === 'end')).toBe(false)
    say({ type: 'credit', id: 1, channel: 0, bytes: 10 })
    await written
    await heard(() => told.at(-1)?.type === 'end')
    expect(dataBytes()).toBe(INPUT_WINDOW_BYTES + 10)
  })

  it.each([
    ['argv is empty', { argv: [] }, 'EINVAL'],
    ['argv contains a NUL', { argv: ['a\0b'] }, 'EINVAL'],
    ['cwd', { cwd: '' }, 'EINVAL'],
    ['env has an impossible name', { env: { 'A=B': '1' } }, 'EINVAL'],
    ['env contains a NUL in A', { env: { A: '\0' } }, 'EINVAL'],
    ['terminal.rows', { terminal: { rows: 0, columns: 80 } }, 'EINVAL'],
    ['terminal.columns', { terminal: { rows: 24, columns: 65_536 } }, 'EINVAL'],
    ['over the limit', { argv: ['x'.repeat(2 << 20)] }, 'E2BIG'],
  ])('refuses a spec by its field: %s', async (message, change, errno) => {
    const { agent, told } = scriptedAgent()
    await expect(agent.spawn({ ...SPEC, ...change })).rejects.toMatchObject({
      code: 'spawn',
      errno,
      message: expect.stringContaining(message) as string,
    })
    expect(told).toEqual([])
    agent.close()
    expect(await agent.closed).toBeUndefined()
  })
})

function spawnFrame(): Extract<Frame, { type: 'spawn' }> {
  const flags = { stdin: false, terminal: false, control: false, rows: 0, columns: 0 }
  return { type: 'spawn', id: 1, ...flags, windowBytes: 1, argc: 1, envc: 0 }
}
