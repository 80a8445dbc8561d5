import { PassThrough } from 'node:stream'
import { create } from '@bufbuild/protobuf'
import { beforeEach, describe, expect, it } from 'vitest'
import { ExecRequestSchema } from '../../proto/index.ts'
import type { Frame } from '../../runtimes/agent/codec.ts'
import type { Launched } from '../../runtimes/contract/runtime.ts'
import { scriptedAgent } from '../../test/fixtures/scripted-agent.ts'
import { limitsSchema } from '../config/limits.ts'
import { createLog } from '../observability/log.ts'
import type { SandboxRecord } from '../records/record-types.ts'
import { Running } from '../sandboxes/running.ts'
import type { Lease } from '../sandboxes/views.ts'
import { BackgroundCommands } from './background-commands.ts'

const SANDBOX = 'sb_0000000000000000'
const limits = limitsSchema.parse({ maxBackgroundCommandsPerSandbox: 3, backgroundKeepMs: 1000, outputGraceMs: 0 })

let commands: BackgroundCommands
let agent: ReturnType<typeof scriptedAgent>
let nowMs: number
let exists: boolean

beforeEach(() => {
  nowMs = 10_000
  exists = true
  agent = scriptedAgent()
  agent.say({ type: 'hello', version: 1 })
  agent.answer((frame) => {
    if (frame.type === 'spawn') agent.say({ type: 'started', id: frame.id, pid: 2 })
  })
  const parts = {
    sandboxId: SANDBOX,
    hostUid: 0,
    limits: {},
    cwd: '/workspace',
    launched: { oomKills: () => undefined } as Launched,
    view: {} as Lease,
  }
  const running = new Running(limits, { ...parts, agent: agent.agent })
  const sandboxes = {
    get: (id: string) => ({ id }) as SandboxRecord,
    running: () => running,
    exists: () => exists,
    cwd: () => '/workspace',
  }
  const log = createLog({ logLevel: 'error', logFormat: 'json' }, new PassThrough())
  commands = new BackgroundCommands({ limits }, { sandboxes, nowMs: () => nowMs, log })
})

const start = () =>
  commands.start(
    create(ExecRequestSchema, { sandboxId: SANDBOX, argv: [Buffer.from('a'), Buffer.from('b c')] }),
    new AbortController().signal,
  )

/** The agent tells the end of the process that it started as the `count`th. */
async function endOf(count: number): Promise<void> {
  const usage = { cpuUserUs: 0, cpuSystemUs: 0, maxRssBytes: 0 }
  const ends: Frame[] = [1, 2].map((channel) => ({ type: 'end', id: count, channel }))
  const command = commands.list(SANDBOX)[count - 1]
  const over = command?.over.next(new AbortController().signal)
  agent.say({ type: 'exited', id: count, code: 0, signal: 0, ...usage }, ...ends)
  await over
}

describe('background commands', () => {
  it('are listed in the order in which they were started', async () => {
    const [first, second] = [await start(), await start()]
    expect(commands.list(SANDBOX)).toEqual([first, second])
    expect(first.options.text).toBe('a b c')
    expect(commands.get(SANDBOX, second.options.id)).toBe(second)
  })

  it('as many as the limit run at one time, and one more is refused', async () => {
    for (let count = 0; count < 3; count++) await start()
    await expect(start()).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' })
    expect(commands.list(SANDBOX)).toHaveLength(3)
  })

  it('make room by forgetting the one that ended first', async () => {
    const made = [await start(), await start(), await start()]
    await endOf(2)
    const fourth = await start()
    expect(commands.list(SANDBOX)).toEqual([made[0], made[2], fourth])
  })

  it('that have ended are kept for their time, and those that run for ever', async () => {
    const made = [await start(), await start()]
    await endOf(1)
    nowMs += 999
    commands.sweep()
    expect(commands.list(SANDBOX)).toEqual(made)
    nowMs += 1
    commands.sweep()
    expect(commands.list(SANDBOX)).toEqual([made[1]])
  })

  it('go with their sandbox', async () => {
    await start()
    exists = false
    commands.sweep()
    expect(commands.list(SANDBOX)).toEqual([])
  })

  it('whose agent goes away have ended, and say why', async () => {
    const command = await start()
    const over = command.over.next(new AbortController().signal)
    agent.theirs.end()
    await over
    expect(command.end).toMatchObject({ sandboxEnded: true, exit: { exitCode: 137, signal: 'SIGKILL' } })
  })

  it('that cannot be started for want of something are none', async () => {
    agent.answer((frame) => {
      if (frame.type === 'spawn') agent.say({ type: 'failed', id: frame.id, stage: 'setup', errno: 11 })
    })
    await expect(start()).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'EAGAIN' })
    expect(commands.list(SANDBOX)).toEqual([])
  })
})
