import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CAPABILITY_TABLE, type Capabilities } from '../../../runtimes/contract/capabilities.ts'
import type { LaunchSpec } from '../../../runtimes/contract/runtime.ts'
import { ENV, readUntil, runToEnd, sh } from '../../fixtures/agent-alone.ts'
import { processesOf } from '../../fixtures/processes-of.ts'
import type { RuntimeHouse } from '../../fixtures/runtime-house.ts'
import type { Given } from './given.ts'

/** How a sandbox comes to be and ends. */
export function lifeCases(given: () => Given): void {
  let house: RuntimeHouse

  beforeEach(() => {
    house = given().openHouse()
  })
  afterEach(() => house.dispose())

  describe('a sandbox', () => {
    it('runs commands on the view as a user whose files they are outside, and its successor finds them', async () => {
      const { agent, stop } = await house.launch()
      writeFileSync(join(house.viewPath, 'in'), 'from outside')
      const script = 'cat in; echo made > out; hostname; cat; exit 7'
      const ran = await runToEnd(agent, { argv: ['sh', '-c', script], cwd: '/workspace' }, Buffer.from('typed'))
      expect([ran.stdout.toString(), ran.code]).toEqual(['from outsidecroft-box\ntyped', 7])
      const { hostUid: uid, hostGid: gid } = house.spec
      expect(readFileSync(join(house.viewPath, 'out'), 'utf8')).toBe('made\n')
      expect(statSync(join(house.viewPath, 'out'))).toMatchObject({ uid, gid })
      await sh(agent, 'touch /tmp/here /home/croft/here')
      await stop()

      const next = await house.launch()
      const found = await sh(next.agent, 'cat /workspace/out; ls /tmp /home/croft')
      expect(found.stdout.toString()).toContain('made\n')
      // What is in memory only is not handed on.
      expect(found.stdout.toString()).not.toContain('here')
    })

    it('ends every process when it is stopped, daemons that ignore signals included', async () => {
      const { agent, stop, ended } = await house.launch()
      const daemon = await agent.spawn({ argv: ['python3', '-c', DAEMON], env: ENV, cwd: '/' })
      await readUntil(daemon, 'up')
      expect(processesOf(house.spec.hostUid).length).toBeGreaterThanOrEqual(2)
      await stop()
      expect(processesOf(house.spec.hostUid)).toEqual([])
      expect((await agent.closed)?.code).toBe('closed')
      expect((await ended).message).not.toBe('')
      await stop()
    })

    it('says when it was ended by somebody else', async () => {
      const { agent, ended, pid } = await house.launch()
      process.kill(pid ?? 0, 'SIGKILL')
      expect((await ended).message).not.toBe('')
      expect((await agent.closed)?.code).toBe('closed')
    })

    it('that an earlier server left is removed, and no other', async () => {
      const { instance } = house.spec
      const orphan = await house.launchOnly({ sandboxId: 'sb_orphan' })
      const [other, foreign] = [await house.launch(), await house.launch({ instance: 'another' })]
      await house.runtime.reap({ instance, sandboxIds: ['sb_orphan', 'sb_never'] })
      await orphan.ended
      for (const { agent } of [other, foreign]) {
        expect((await sh(agent, 'echo fine')).stdout.toString()).toBe('fine\n')
      }
    })
  })

  describe('a launch', () => {
    it('that fails or is aborted leaves nothing', async () => {
      await expect(house.launch({ viewPath: '/no/such/view' })).rejects.toMatchObject({
        code: 'failed',
        message: expect.stringContaining('/no/such/view') as string,
      })
      const reason = new Error('changed my mind')
      await expect(house.runtime.launch(house.spec, AbortSignal.abort(reason))).rejects.toBe(reason)
      const abort = new AbortController()
      const launching = house.runtime.launch(house.spec, abort.signal)
      setImmediate(() => abort.abort(reason))
      await expect(launching).rejects.toBe(reason)
      expect(processesOf(house.spec.hostUid)).toEqual([])
      expect(existsSync('/no/such')).toBe(false)
    })

    it.each<[string, Partial<LaunchSpec>]>([
      ['sandboxId', { sandboxId: '../x' }],
      ['instance', { instance: 'a/b' }],
      ['hostname', { hostname: 'a b' }],
      ['viewPath', { viewPath: 'relative' }],
      ['workspace', { workspace: '/usr/lib' }],
      ['workspace', { workspace: '/workspace/../etc' }],
      ['workspace', { workspace: '/' }],
      ['hostUid', { hostUid: -1 }],
      ['limits.memoryBytes', { limits: { memoryBytes: (16 << 20) - 1 } }],
      ['limits.cpuQuotaUs', { limits: { cpuQuotaUs: 999 } }],
      ['limits.cpuShares', { limits: { cpuShares: 262_145 } }],
      ['limits.pids', { limits: { pids: 0 } }],
      ['limits.tmpBytes', { limits: { tmpBytes: 0.5 } }],
      ['limits.openFiles', { limits: { openFiles: 63 } }],
    ])('refuses a bad %s by its name', async (field, change) => {
      await expect(house.launch(change)).rejects.toMatchObject({
        code: 'failed',
        message: expect.stringContaining(field) as string,
      })
    })
  })

  describe('what a probe says', () => {
    it('is what is refused, and what is not', async () => {
      const { available, version, capabilities } = await house.runtime.probe()
      expect(available).toBe(true)
      expect(version).toMatch(/^\d+\.\d+/)
      expect(processesOf(house.spec.hostUid)).toEqual([])
      for (const [ability, can] of Object.entries(capabilities)) {
        const said = CAPABILITY_TABLE[ability as keyof Capabilities][given().name]
        // Where it depends on the host, any is right.
        if (typeof said === 'boolean') expect([ability, can]).toEqual([ability, said])
      }
      expect(capabilities).toMatchObject({ memoryLimit: true, cpuLimit: true, pidsLimit: true, systemCallFilter: true })
      if (!capabilities.image) await refused({ image: 'debian' }, 'image')
      if (!capabilities.networkFull) await refused({ network: { mode: 'full' } }, 'network')
    })
  })

  async function refused(change: Partial<LaunchSpec>, field: string): Promise<void> {
    await expect(house.launch(change)).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining(field) as string,
    })
  }
}

const DAEMON = [
  'import os,signal,time',
  'if os.fork()==0:',
  ' os.setsid()',
  ' if os.fork()==0:',
  '  [signal.signal(s,signal.SIG_IGN) for s in (1,2,15)]',
  '  print("up",flush=True)',
  '  time.sleep(600)',
  ' os._exit(0)',
].join('\n')
