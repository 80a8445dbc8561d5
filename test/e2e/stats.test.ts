import { once } from 'node:events'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { InvalidArgumentError, NotRunningError, ResourceExhaustedError, Sandbox } from '../../sdk/index.ts'
import { type SdkSandbox, sdkSandbox } from '../fixtures/sdk-sandbox.ts'
import { has, needs } from '../needs.ts'

const MAIN = join(import.meta.dirname, '../../dist/sdk/cli/main.js')
const MIB = 2 ** 20
const RESOURCES = { memoryBytes: 64 * MIB, cpus: 0.5, pids: 20, diskBytes: MIB, inodes: 100 }
/** `limits.maxStatsWatchesPerSandbox`. */
const MAX_WATCHES = 16

let fixture: SdkSandbox
let sandbox: Sandbox

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap', 'control-groups'))) return
  fixture = await sdkSandbox({ resources: RESOURCES })
  sandbox = fixture.sandbox
})

afterAll(() => fixture?.[Symbol.asyncDispose]())

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap', 'control-groups'))

const croft = (...args: string[]) =>
  execa('node', [MAIN, ...args], { env: fixture.user.env, stdin: 'ignore', reject: false })

it('tells what a sandbox uses, each beside its limit', async () => {
  await sandbox.run('head -c 8192 /dev/zero > build/zeros; head -c 10000000 /dev/zero > /tmp/held')
  const stats = await sandbox.stats()
  expect(stats).toMatchObject({
    ...{ memoryLimitBytes: 64 * MIB, oomKills: 0, processes: 0, processesLimit: 20, commands: 0 },
    ...{ diskBytes: 8192, diskLimitBytes: MIB, inodes: 1, inodesLimit: 100 },
  })
  expect(stats.memoryBytes).toBeGreaterThan(10_000_000)
  expect(stats.memoryPeakBytes).toBeGreaterThanOrEqual(stats.memoryBytes ?? Number.POSITIVE_INFINITY)
  expect(stats.cpuTimeMs).toBeGreaterThan(0)
})

it('counts the processes and commands that run', async () => {
  const held = 'mkfifo /tmp/go; sleep 600 & echo up; read line < /tmp/go; kill $!; wait'
  let ended: Promise<unknown> = Promise.resolve()
  await new Promise<void>((resolve, reject) => {
    ended = sandbox.run(held, { onStdout: () => resolve() })
    ended.catch(reject)
  })
  expect(await sandbox.stats()).toMatchObject({ processes: 2, commands: 1 })
  await sandbox.run('echo > /tmp/go')
  await ended
  expect(await sandbox.stats()).toMatchObject({ processes: 0, commands: 0 })
})

it('counts what was killed for want of memory', async () => {
  await sandbox.run(['python3', '-c', 'x = bytearray(200 << 20)'])
  const { oomKills, memoryPeakBytes } = await sandbox.stats()
  expect(oomKills).toBe(1)
  expect(memoryPeakBytes).toBeLessThanOrEqual(64 * MIB)
})

it('counts how often and how long a sandbox stood still for its quota of CPU time', async () => {
  const { server, project } = fixture
  // A millisecond in each tenth of a second: no shell starts in that.
  await using slow = await Sandbox.fromLocal(project, { server, resources: { cpus: 0.01 } })
  await slow.run('true')
  const { throttledPeriods, throttledMs } = await slow.stats()
  expect(throttledPeriods).toBeGreaterThan(0)
  expect(throttledMs).toBeGreaterThan(0)
})

it('tells CPU time where no group counts it, and limits that nobody asked for', async () => {
  const { server, project } = fixture
  await using plain = await Sandbox.fromLocal(project, { server })
  const spin = 'import time\nwhile time.process_time() < 0.3: pass'
  await plain.run(['python3', '-c', spin])
  const { cpuTimeMs, memoryLimitBytes, processesLimit } = await plain.stats()
  expect(cpuTimeMs).toBeGreaterThanOrEqual(200)
  // Nothing was asked for: what the server usually sets.
  expect([memoryLimitBytes, processesLimit]).toEqual([Math.floor(totalmem() * 0.75), 4096])
})

it('tells it again and again until the sandbox ends', async () => {
  const { server, project } = fixture
  await using other = await Sandbox.fromLocal(project, { server })
  const told: Date[] = []
  const watching = (async () => {
    for await (const { at } of other.watchStats({ intervalMs: 100 })) {
      told.push(at)
      if (told.length === 3) await other.stop()
    }
  })()
  await expect(watching).rejects.toThrow(NotRunningError)
  expect(told.length).toBeGreaterThanOrEqual(3)
  await expect(other.stats()).rejects.toThrow(NotRunningError)
})

it('refuses an interval beyond the edges by its name', async () => {
  const first = async (intervalMs: number) => {
    for await (const stats of sandbox.watchStats({ intervalMs })) return stats
    return undefined
  }
  for (const intervalMs of [100, 3_600_000]) expect(await first(intervalMs)).toMatchObject({ commands: 0 })
  for (const intervalMs of [99, 3_600_001]) {
    await expect(first(intervalMs)).rejects.toThrow(InvalidArgumentError)
    await expect(first(intervalMs)).rejects.toThrow(/^interval must be/i)
  }
})

it('tells it to so many callers at one time', async () => {
  const watches = Array.from({ length: MAX_WATCHES }, () => sandbox.watchStats({ intervalMs: 3_600_000 }))
  for (const watch of watches) expect((await watch.next()).done).toBe(false)
  await expect(sandbox.watchStats().next()).rejects.toThrow(ResourceExhaustedError)
  for (const watch of watches) await watch.return()
})

it('croft stats prints a line, and with --follow one after the other until Ctrl-C', async () => {
  const { stdout } = await croft('stats', sandbox.id)
  const [head, line] = stdout.split('\n')
  expect(head).toMatch(/^MEMORY +PEAK +OOM/)
  expect(line).toContain('/64.0M')
  const following = croft('stats', sandbox.id, '--follow', '--interval', '100ms', '--json')
  const [piece] = (await once(following.stdout, 'data')) as [Buffer]
  expect(JSON.parse(piece.toString().split('\n')[0] ?? '')).toMatchObject({ processesLimit: 20 })
  following.kill('SIGINT')
  expect((await following).exitCode).toBe(130)
})
