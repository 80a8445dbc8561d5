import { readFileSync } from 'node:fs'
import { create } from '@bufbuild/protobuf'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ExecRequestSchema, SandboxStatus } from '../../proto/index.ts'
import type { Frame } from '../../runtimes/agent/codec.ts'
import { openShell } from '../../runtimes/agent/shell.ts'
import type { Launched } from '../../runtimes/contract/runtime.ts'
import { limitsSchema } from '../../server/config/limits.ts'
import { parseCommand } from '../../server/exec/command.ts'
import { exec } from '../../server/exec/exec.ts'
import { Running } from '../../server/sandboxes/running.ts'
import type { Lease } from '../../server/sandboxes/views.ts'
import { refusal } from '../fixtures/refusal.ts'
import { hostPids } from '../fixtures/sandbox-pids.ts'
import { scriptedAgent } from '../fixtures/scripted-agent.ts'
import { removeServerDir, ServerProcess, temporaryServerDir, type Wire } from '../fixtures/server-process.ts'
import { has, needs } from '../needs.ts'

describe('the agent of a sandbox that has been stopped', () => {
  let dir: string
  let server: ServerProcess
  let wire: Wire
  let codebaseId: string

  beforeAll(async () => {
    if (!(await has('root')) || !(await has('fuse')) || !(await has('bwrap'))) return
    dir = temporaryServerDir()
    server = await ServerProcess.start(dir, '--limit', 'agentAnswerMaxMs=1500', '--limit', 'agentSilenceMaxMs=3000')
    wire = server.wire
    codebaseId = (await wire.codebases.createCodebase({ name: 'project' })).id
  })

  afterAll(async () => {
    if (server === undefined) return
    expect(await server.end('SIGTERM')).toBe(0)
    expect(server.mounts()).toEqual([])
    removeServerDir(dir)
  })

  beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap'))

  const start = async () => (await wire.sandboxes.createSandbox({ codebaseId, start: true })).id
  const status = async (sandboxId: string) => (await wire.sandboxes.getSandbox({ sandboxId })).status

  /** SIGSTOP from outside; from inside process 1 takes none. */
  function stopAgent(sandboxId: string): void {
    for (const mount of server.mounts().filter((point) => point.includes(sandboxId))) {
      for (const pid of hostPids(mount)) {
        const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')
        if (child !== undefined && child !== '') process.kill(Number(child), 'SIGSTOP')
      }
    }
  }

  it('ends its own sandbox when it is asked something, and no other notices', async () => {
    const [victim, other] = [await start(), await start()]
    const { id: sessionId } = await wire.sandboxes.createSession({ sandboxId: victim })
    stopAgent(victim)
    const calls = [
      wire.sandboxes.exec({ sandboxId: victim, command: 'true' }),
      wire.sandboxes.sessionExec({ sessionId, command: 'true', timeout: { nanos: 100_000_000 } }),
      wire.sandboxes.createSession({ sandboxId: victim }),
    ]
    expect((await wire.sandboxes.exec({ sandboxId: other, command: 'echo fine' })).stdout).toBe('fine\n')
    for (const call of calls) {
      expect(await refusal(call)).toMatchObject({ code: 'ABORTED', reason: 'sandbox_ended' })
    }
    await expect.poll(() => status(victim)).toBe(SandboxStatus.ERROR)
    expect((await wire.sandboxes.getSandbox({ sandboxId: victim })).error).toContain('did not answer within 1.5 s')
    expect(server.mounts().filter((point) => point.includes(victim))).toEqual([])
    expect(await status(other)).toBe(SandboxStatus.RUNNING)
    await wire.sandboxes.startSandbox({ sandboxId: victim })
    expect((await wire.sandboxes.exec({ sandboxId: victim, command: 'echo again' })).stdout).toBe('again\n')
    for (const sandboxId of [victim, other]) await wire.sandboxes.destroySandbox({ sandboxId })
  })

  it('ends it too when nobody asks it anything', async () => {
    const sandboxId = await start()
    stopAgent(sandboxId)
    await expect.poll(() => status(sandboxId), { timeout: 20_000 }).toBe(SandboxStatus.ERROR)
    expect((await wire.sandboxes.getSandbox({ sandboxId })).error).toContain('silent for 3 s')
    await wire.sandboxes.destroySandbox({ sandboxId })
  })
})

describe('an agent that answers each ping and lies by silence', () => {
  const limits = limitsSchema.parse({ agentAnswerMaxMs: 50, killGraceMs: 10, maxCommandsPerSandbox: 1 })
  const HELLO: Frame = { type: 'hello', version: 1 }

  function lying(more: (frame: Frame, say: (...frames: Frame[]) => void) => void = () => undefined) {
    const scripted = scriptedAgent({ answerMaxMs: 50, silenceMaxMs: 1000 })
    scripted.say(HELLO)
    scripted.answer((frame) => {
      if (frame.type === 'ping') scripted.say({ type: 'pong', token: frame.token })
      else more(frame, scripted.say)
    })
    const launched = { oomKills: () => undefined } as Launched
    const parts = { sandboxId: 'sb_0', hostUid: 0, limits: {}, cwd: '/', launched, view: {} as Lease }
    return { ...scripted, running: new Running(limits, { ...parts, agent: scripted.agent }) }
  }

  const run = (running: Running, signal = new AbortController().signal, timeoutMs = 20) => {
    const request = create(ExecRequestSchema, { command: 'x', timeout: { nanos: timeoutMs * 1_000_000 } })
    return exec(running, parseCommand(request, { limits, workspace: '/workspace' }), { limits, signal })
  }
  const startsAll = (frame: Frame, say: (...frames: Frame[]) => void) => {
    if (frame.type === 'spawn') say({ type: 'started', id: frame.id, pid: 2 })
  }

  it('does not hold up a timeout by not starting the command', async () => {
    const { running } = lying()
    await expect(run(running)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    // It counts on: what its agent keeps open is held against the sandbox, and is bounded by that.
    await expect(run(running)).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' })
  })

  it('does not hold up a cancelled call by not starting the command', async () => {
    const abort = new AbortController()
    const { running, told, heard } = lying()
    const call = run(running, abort.signal)
    await heard(() => told.some(({ type }) => type === 'spawn'))
    abort.abort(new Error('gone'))
    await expect(call).rejects.toThrow('gone')
  })

  it('does not hold up a timeout by not telling the end of the command', async () => {
    const { running, told } = lying(startsAll)
    // Long enough for it to have started, whatever else this machine does.
    await expect(run(running, undefined, 900)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect(told.filter(({ type }) => type === 'signal')).toMatchObject([{ signal: 15 }, { signal: 9 }])
    await expect(run(running)).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' })
  })

  it('is cut off when the end of a command that was killed, or its start, is not told for too long', async () => {
    const impatient = { ...limits, commandEndMaxMs: 30 }
    for (const behaves of [startsAll, undefined]) {
      const { running, agent } = lying(behaves)
      const request = create(ExecRequestSchema, { command: 'x', timeout: { nanos: 20_000_000 } })
      const command = parseCommand(request, { limits, workspace: '/workspace' })
      const call = exec(running, command, { limits: impatient, signal: new AbortController().signal })
      await expect(call).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
      expect(await agent.closed).toMatchObject({ code: 'silent', message: expect.stringContaining('0.03 s') as string })
      await expect.poll(() => running.commands).toBe(0)
    }
  })

  it('is not cut off where it tells the end in time, however it took it', async () => {
    let id = 0
    const { running, say, agent } = lying((frame, speak) => {
      startsAll(frame, speak)
      if (frame.type === 'spawn') id = frame.id
    })
    await expect(run(running, undefined, 900)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    say({ type: 'exited', id, code: 0, signal: 9, cpuUserUs: 0, cpuSystemUs: 0, maxRssBytes: 0 })
    await expect.poll(() => running.commands).toBe(0)
    expect(await Promise.race([agent.closed, 'open'])).toBe('open')
  })

  it('does not hold up a session that is to begin, whose shell is not started', async () => {
    const { agent } = lying()
    await expect(openShell(agent, { env: {}, cwd: '/', startTimeoutMs: 20 })).rejects.toMatchObject({ code: 'failed' })
  })

  it('does not hold up the end of a session that is to begin, whose shell says nothing', async () => {
    const { agent } = lying(startsAll)
    const options = { env: {}, cwd: '/', startTimeoutMs: 20, interruptGraceMs: 20, endTimeoutMs: 20 }
    await expect(openShell(agent, options)).rejects.toMatchObject({ code: 'failed' })
  })

  it('ends a session by telling the end of no command that there is, and cannot lie about its times but in numbers', async () => {
    const times = '0m0.1s 0m0.0s\n0m0.0s 0m0.0s\n'
    for (const forged of [
      'nonsense\n',
      '7\n',
      `1 0\n${times}.\n`,
      `99999 0\n${times}.\n`,
      '2 0',
      `2 0\n${'x\n'.repeat(300)}`,
    ]) {
      let commands = 0
      const { agent, told, heard } = lying((frame, say) => {
        startsAll(frame, say)
        if (frame.type !== 'data') return
        const marker = commands++ === 0 ? `1 0\n${times}.\n` : forged
        say({ type: 'data', id: frame.id, channel: 4, data: Buffer.from(marker) })
      })
      const shell = await openShell(agent, { env: {}, cwd: '/', interruptGraceMs: 20, endTimeoutMs: 20 })
      const result = await shell.run('x', { timeoutMs: 20 })
      expect(result, forged).toMatchObject({ shellEnded: true })
      await heard(() => told.some((frame) => frame.type === 'signal' && frame.signal === 9))
    }
  })

  it('is cut off when it answers a ping that it was not sent', async () => {
    const { agent, say } = lying()
    say({ type: 'pong', token: 1 })
    expect(await agent.closed).toMatchObject({ code: 'protocol' })
  })

  it('cannot make more processes be kept track of than the limit, whatever it leaves open', async () => {
    const { agent } = lying(startsAll)
    const spec = { argv: ['x'], env: {}, cwd: '/' }
    for (let count = 0; count < 1024; count++) await agent.spawn(spec)
    await expect(agent.spawn(spec)).rejects.toMatchObject({ code: 'spawn', errno: 'EAGAIN' })
    agent.close()
  })
})
