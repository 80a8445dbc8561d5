import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeFrame } from '../../runtimes/agent/codec.ts'
import type { Agent } from '../../runtimes/contract/agent.ts'
import { Code, encodeProgram } from '../../runtimes/seccomp/compile.ts'
import {
  type AgentAlone,
  ENV,
  readUntil,
  runToEnd,
  sh,
  startAgentAlone,
  startAgentRaw,
} from '../fixtures/agent-alone.ts'

let alone: AgentAlone
let agent: Agent

beforeEach(() => {
  alone = startAgentAlone()
  agent = alone.agent
})

afterEach(async () => {
  agent.close()
  await alone.ended
})

/** One instruction: whatever is called is allowed. */
const ALLOW_ALL = encodeProgram([{ code: Code.return, jt: 0, jf: 0, k: 0x7fff_0000 }])

describe('a signal to the tree of a command', () => {
  it('spares the trees of an agent beside this one, whose commands have the same numbers', async () => {
    const beside = startAgentAlone()
    const other = await beside.agent.spawn({ argv: ['cat'], env: ENV, cwd: '/', stdin: true })
    const tree = await agent.spawn({ argv: ['sleep', '60'], env: ENV, cwd: '/' })
    tree.signal(9, 'tree')
    expect(await tree.exited).toMatchObject({ signal: 9 })
    other.stdin?.end('still here')
    expect(await other.exited).toMatchObject({ code: 0 })
    beside.agent.close()
    await beside.ended
  })
})

describe('the agent', () => {
  it('starts a thousand processes one after the other and holds nothing of them', async () => {
    const held = () => [
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${alone.child.pid}/status`, 'utf8'))?.[1]),
      readdirSync(`/proc/${alone.child.pid}/fd`).length,
    ]
    await sh(agent, 'true')
    const [kib = 0, descriptors] = held()
    for (let i = 0; i < 1000; i++) expect((await runToEnd(agent, { argv: ['true'] })).code).toBe(0)
    expect(held()[1]).toBe(descriptors)
    expect(held()[0]).toBeLessThan(kib + 128)
  })

  it('runs 256 processes at once, and says EAGAIN to one more', async () => {
    const all = await Promise.all(
      Array.from({ length: 256 }, () => agent.spawn({ argv: ['cat'], env: ENV, cwd: '/', stdin: true })),
    )
    await expect(agent.spawn({ argv: ['true'], env: ENV, cwd: '/' })).rejects.toMatchObject({
      code: 'spawn',
      errno: 'EAGAIN',
    })
    for (const one of all) one.stdin?.end()
    for (const one of all) {
      for await (const _ of one.stdout);
      for await (const _ of one.stderr);
      expect(await one.exited).toMatchObject({ code: 0 })
    }
    expect(await sh(agent, 'exit 7')).toMatchObject({ code: 7 })
  })

  it('reaps what was orphaned', async () => {
    const { stdout } = await sh(agent, '(sh -c "sh -c \'exit 0\' & echo \\$!" &) | cat')
    const orphan = Number(stdout.toString())
    expect(orphan).toBeGreaterThan(1)
    // A later process of the agent has been reaped after all that ended before it.
    await sh(agent, 'true')
    expect((await sh(agent, `cat /proc/${orphan}/stat`)).stdout.toString()).not.toContain(' Z ')
  })

  it('ends with its stream, and takes everything that it started along', async () => {
    const process = await agent.spawn({ argv: ['sh', '-c', 'setsid sleep 61 & echo $!; wait'], env: ENV, cwd: '/' })
    const pid = Number(await readUntil(process, '\n'))
    agent.close()
    expect(await alone.ended).toBe(0)
    // Gone, or dead and not yet waited for by the machine's process 1.
    expect(existsSync(`/proc/${pid}/exe`)).toBe(false)
  })

  it.each([
    ['an unknown frame', Buffer.from([1, 0, 0, 0, 99, 0, 0, 0])],
    ['a frame that is too long', Buffer.from([1, 0, 0, 0, 3, 0, 1, 0x80])],
    [
      'a start without a description',
      encodeFrame({
        type: 'spawn',
        id: 1,
        stdin: false,
        terminal: false,
        control: false,
        rows: 0,
        columns: 0,
        windowBytes: 1,
        argc: 1,
        envc: 0,
      }),
    ],
    ['a filter of half an instruction', encodeFrame({ type: 'filter', program: Buffer.alloc(4) })],
    ['a filter that the kernel refuses', encodeFrame({ type: 'filter', program: Buffer.alloc(8) })],
    [
      'a second filter',
      Buffer.concat(Array.from({ length: 2 }, () => encodeFrame({ type: 'filter', program: ALLOW_ALL }))),
    ],
    ['a signal out of range', encodeFrame({ type: 'signal', id: 1, signal: 65, target: 'tree' })],
  ])('ends at %s', async (_, bytes) => {
    const raw = startAgentRaw()
    raw.stream.write(bytes)
    expect(await raw.ended).toBe(1)
    raw.stream.destroy()
  })

  it('ends at a description that does not hold what it says', async () => {
    const flags = { stdin: false, terminal: false, control: false, rows: 0, columns: 0, windowBytes: 1 }
    for (const [argc, envc] of [
      [2, 0],
      [0, 1],
      [1, 1],
      [0xffff_ffff, 1],
      [65_536, 1],
    ] as const) {
      const raw = startAgentRaw()
      raw.stream.write(encodeFrame({ type: 'spec', id: 1, part: Buffer.from('/\0true\0') }))
      raw.stream.write(encodeFrame({ type: 'spawn', id: 1, ...flags, argc, envc }))
      expect(await raw.ended).toBe(1)
      raw.stream.destroy()
    }
  })
})
