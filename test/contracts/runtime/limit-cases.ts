import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ENV, runToEnd, sh } from '../../fixtures/agent-alone.ts'
import { processesOf } from '../../fixtures/processes-of.ts'
import type { RuntimeHouse } from '../../fixtures/runtime-house.ts'
import type { Given } from './given.ts'

/** What a sandbox is held to, and what is counted of it. */
export function limitCases(given: () => Given): void {
  describe('the limits of a sandbox', () => {
    let house: RuntimeHouse
    beforeEach(() => {
      house = given().openHouse()
    })
    afterEach(() => house.dispose())

    it('end what takes more memory, which is counted, and the sandbox lives on when all that it can fill is full', async () => {
      const { agent, stats, oomKills: killsNow } = await house.launch({ limits: { memoryBytes: 64 << 20 } })
      const filled = await sh(
        agent,
        PLACES.map((place) => `dd if=/dev/zero bs=1M count=100 of=${place}/full`).join(';'),
      )
      expect(filled.stderr.toString().match(/No space left/g)).toHaveLength(PLACES.length)
      expect([killsNow(), (await stats()).oomKills]).toEqual([0, 0])
      await sh(agent, PLACES.map((place) => `rm ${place}/full`).join(';'))

      const glutton = await runToEnd(agent, { argv: ['python3', '-c', 'x = bytearray(200 << 20)'] })
      expect(glutton.signal).toBe(9)
      const { memoryPeakBytes, oomKills } = await stats()
      expect([oomKills, killsNow()]).toEqual([1, 1])
      expect(memoryPeakBytes).toBeLessThanOrEqual(64 << 20)
      expect((await sh(agent, 'echo fine')).stdout.toString()).toBe('fine\n')
    })

    it('let exactly so many processes run, descriptors be open, bytes be in a file and in /tmp', async () => {
      const limits = { pids: PROCESSES, openFiles: 100, fileBytes: 8192, tmpBytes: 1 << 20 }
      const { agent, stats } = await house.launch({ limits })
      const held = await Promise.all(
        Array.from({ length: PROCESSES }, () => agent.spawn({ argv: ['cat'], env: ENV, cwd: '/', stdin: true })),
      )
      expect((await stats()).pids).toBe(PROCESSES)
      await expect(agent.spawn({ argv: ['true'], env: ENV, cwd: '/' })).rejects.toMatchObject({ errno: 'EAGAIN' })
      for (const one of held) one.stdin?.end()
      await Promise.all(held.map((one) => one.exited))
      await expect.poll(async () => (await stats()).pids).toBe(0)

      const { stdout } = await runToEnd(agent, { argv: ['python3', '-c', DESCRIPTORS] })
      expect(stdout.toString()).toBe('(100, 100)\nrefused\n99 EMFILE\n')
      const written = await sh(agent, 'head -c 8193 /dev/zero > /tmp/large; wc -c < /tmp/large; df -k /tmp | tail -n 1')
      expect(written.stdout.toString()).toMatch(/^ *8192\n\S+ +1024 /)
    })

    it('stop a fork bomb at the number that was set, and it all ends with the sandbox', async () => {
      const { agent, stats, stop } = await house.launch({ limits: { pids: 20 } })
      const bomb = await agent.spawn({ argv: ['sh', '-c', 'f() { f & f & wait; }; f; sleep 600'], env: ENV, cwd: '/' })
      for await (const piece of bomb.stderr) if (String(piece).includes('fork')) break
      expect((await stats()).pids).toBeLessThanOrEqual(20)
      await stop()
      expect(processesOf(house.spec.hostUid)).toEqual([])
    })

    it('hold it to its share of a processor, and what it used and stood still for is counted', async () => {
      // So little of it is had on the busiest machine too; with less an emulated one is not started in time.
      const { agent, stats } = await house.launch({ limits: { cpuQuotaUs: 4_000, cpuShares: 512 } })
      const busy = await agent.spawn({ argv: ['sh', '-c', 'while :; do :; done'], env: ENV, cwd: '/' })
      await expect.poll(async () => (await stats()).throttledPeriods).toBeGreaterThan(0)
      busy.signal(9, 'tree')
      const { cpuUserUs, cpuSystemUs } = await busy.exited
      const { cpuUs, throttledUs } = await stats()
      expect(cpuUs).toBeGreaterThanOrEqual(cpuUserUs + cpuSystemUs)
      expect(throttledUs).toBeGreaterThan(0)
    })
  })
}

/** As few as a container can be started with: what starts it is in its group for a moment, with threads of its own. */
const PROCESSES = 16

const PLACES = ['/tmp', '/dev/shm', '/run', '/var/tmp', '/home/croft']

const DESCRIPTORS = [
  'import errno, os, resource',
  'print(resource.getrlimit(resource.RLIMIT_NOFILE))',
  'try: resource.setrlimit(resource.RLIMIT_NOFILE, (101, 101))',
  'except ValueError: print("refused")',
  'try:',
  '  while True: last = os.open("/dev/null", os.O_RDONLY)',
  'except OSError as error: print(last, errno.errorcode[error.errno])',
].join('\n')
