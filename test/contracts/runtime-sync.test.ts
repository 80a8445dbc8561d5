import { afterEach, describe, expect, it } from 'vitest'
import { connectAgent } from '../../runtimes/agent/client.ts'
import type { Agent } from '../../runtimes/contract/agent.ts'
import { systemCallFilter } from '../../runtimes/seccomp/filter.ts'
import { deferred } from '../../server/concurrency/deferred.ts'
import { ENV, readUntil, runToEnd, sh, startAgentRaw } from '../fixtures/agent-alone.ts'
import { needs } from '../needs.ts'

let agent: Agent

afterEach(() => agent?.close())

/** Under the filter, with this as what the server does for a sync. */
function start(sync: () => Promise<void>): void {
  agent = connectAgent(startAgentRaw().stream, { systemCallFilter: systemCallFilter('default'), sync })
}

const SYNCFS_OF_NOTHING =
  'import ctypes; libc = ctypes.CDLL(None, use_errno=True); print(libc.syncfs(99), ctypes.get_errno())'

describe('a program that calls sync', () => {
  it.each(['sync', 'sync -f /tmp'])(
    'goes on when the server has done it, and others meanwhile: %s',
    async (command) => {
      const done = deferred<void>()
      let asked = 0
      start(() => {
        asked += 1
        return done.promise
      })
      const waiting = await agent.spawn({
        argv: ['sh', '-c', `echo before; ${command}; echo after $?`],
        env: ENV,
        cwd: '/',
      })
      await readUntil(waiting, 'before')
      await expect.poll(() => asked).toBe(1)
      expect((await sh(agent, 'echo meanwhile')).stdout.toString()).toBe('meanwhile\n')
      done.resolve()
      expect(await readUntil(waiting, 'after')).toBe('after 0\n')
    },
  )

  it('is told of a disk that does not take it', async () => {
    start(() => Promise.reject(new Error('full')))
    const { stderr } = await sh(agent, 'sync -f /tmp')
    expect(stderr.toString()).toContain('Input/output error')
  })

  it('gets the errors of syncfs itself', async (context) => {
    await needs(context, 'python3')
    start(() => Promise.resolve())
    const { stdout } = await runToEnd(agent, { argv: ['python3', '-c', SYNCFS_OF_NOTHING] })
    expect(stdout.toString()).toBe('-1 9\n')
  })

  it('may be one of more than wait at one time', async () => {
    const done = deferred<void>()
    start(() => done.promise)
    const many = sh(agent, 'i=0; while [ $i -lt 100 ]; do sync & i=$((i+1)); done; echo started >&2; wait; echo all')
    done.resolve()
    expect((await many).stdout.toString()).toBe('all\n')
  })

  it('can be killed while it waits, and its answer is nobody’s', async () => {
    const done = deferred<void>()
    let asked = 0
    start(() => {
      asked += 1
      return done.promise
    })
    const waiting = await agent.spawn({ argv: ['sync'], env: ENV, cwd: '/' })
    await expect.poll(() => asked).toBe(1)
    waiting.signal(9, 'tree')
    expect(await waiting.exited).toMatchObject({ signal: 9 })
    done.resolve()
    expect((await sh(agent, 'sync; echo $?')).stdout.toString()).toBe('0\n')
  })
})
