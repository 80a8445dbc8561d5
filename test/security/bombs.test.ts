import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import type { ExecResult, ResourceLimitsSchema, SandboxStats } from '../../proto/index.ts'
import { refusal } from '../fixtures/refusal.ts'
import { removeServerDir, ServerProcess, temporaryServerDir, type Wire } from '../fixtures/server-process.ts'
import { has, needs } from '../needs.ts'

const MIB = 2n ** 20n
const GIB = 2n ** 30n

let dir: string
let server: ServerProcess
let wire: Wire
let codebaseId: string
/** Of another sandbox: it must not notice. */
let neighbour: string
let sandboxId: string

beforeAll(async () => {
  if (!(await has('root', 'fuse', 'bwrap', 'control-groups'))) return
  dir = temporaryServerDir()
  server = await ServerProcess.start(dir, '--limit', 'killGraceMs=100')
  wire = server.wire
  codebaseId = (await wire.codebases.createCodebase({ name: 'project' })).id
  neighbour = await sandboxWith({})
})

afterAll(async () => {
  if (server === undefined) return
  expect(await server.end('SIGTERM')).toBe(0)
  removeServerDir(dir)
})

beforeEach((context) => needs(context, 'root', 'fuse', 'bwrap', 'control-groups', 'python3'))

afterEach(async () => {
  if (sandboxId === undefined) return
  const mounts = server.mounts().filter((mount) => mount.includes(sandboxId))
  expect(mounts).toHaveLength(1)
  await wire.sandboxes.destroySandbox({ sandboxId })
  expect(leftOf(sandboxId)).toEqual({ processes: [], groups: [], mounts: [], files: [] })
  expect((await exec(neighbour, 'echo unharmed')).stdout).toBe('unharmed\n')
})

async function sandboxWith(resources: MessageInitShape<typeof ResourceLimitsSchema>): Promise<string> {
  return (await wire.sandboxes.createSandbox({ codebaseId, preset: 'development', start: true, resources })).id
}

function exec(id: string, command: string): Promise<ExecResult> {
  return wire.sandboxes.exec({ sandboxId: id, command })
}

const python = (script: string) => `python3 -c '${script}'`

/** Set off, and not waited for; its call ends with the sandbox. */
function setOff(command: string): void {
  exec(sandboxId, command).catch(() => undefined)
}

async function statsWhen(reached: (stats: SandboxStats) => boolean): Promise<SandboxStats> {
  for await (const stats of wire.sandboxes.watchStats({ sandboxId, interval: { nanos: 100_000_000 } })) {
    if (reached(stats)) return stats
  }
  throw new Error('the sandbox has ended')
}

/** Of a sandbox, on the host. */
function leftOf(id: string) {
  const group = `croft-${server.ready.instance}-${id}`
  return {
    processes: readdirSync('/proc').filter(
      (name) => /^\d+$/.test(name) && textOf(`/proc/${name}/cgroup`).includes(group),
    ),
    groups: execFileSync('find', ['/sys/fs/cgroup', '-type', 'd', '-name', group], { encoding: 'utf8' })
      .split('\n')
      .filter(Boolean),
    mounts: server.mounts().filter((mount) => mount.includes(id)),
    files: execFileSync('find', [dir, '-name', `*${id}*`], { encoding: 'utf8' })
      .split('\n')
      .filter(Boolean),
  }
}

/** Empty for a process that ends while we look. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return ''
    throw error
  }
}

it('a fork bomb stays at its number of processes', async () => {
  sandboxId = await sandboxWith({ pidsLimit: 20n, cpuQuota: 50_000n })
  setOff(python('import os\nwhile True:\n  try: os.fork()\n  except OSError: pass'))
  expect((await statsWhen(({ processes }) => processes === 20n)).processesLimit).toBe(20n)
  // Not even the server can start one more: that is a refusal, and no end of the sandbox.
  expect(await refusal(exec(sandboxId, 'true'))).toMatchObject({ code: 'RESOURCE_EXHAUSTED' })
  expect((await exec(neighbour, 'echo unharmed')).stdout).toBe('unharmed\n')
})

it('a memory bomb stays within its memory, and the sandbox lives on', async () => {
  sandboxId = await sandboxWith({ memoryBytes: 64n * MIB })
  const bomb = await exec(sandboxId, python('x = [bytearray(1 << 20) for _ in range(1 << 20)]'))
  expect(bomb).toMatchObject({ exitCode: 137, oomKilled: true })
  const { memoryPeakBytes, oomKills } = await wire.sandboxes.getStats({ sandboxId })
  expect(memoryPeakBytes).toBeLessThanOrEqual(64n * MIB)
  expect(oomKills).toBeGreaterThanOrEqual(1n)
  expect((await exec(sandboxId, 'echo on')).stdout).toBe('on\n')
})

it('a full /tmp is a write that fails, and a full view one that the quota refuses', async () => {
  sandboxId = await sandboxWith({ memoryBytes: 64n * MIB, tmpBytes: MIB, diskBytes: MIB })
  const filled = await exec(sandboxId, 'head -c 2M /dev/zero > /tmp/x; head -c 2M /dev/zero > x; stat -c %s /tmp/x x')
  expect(filled.stderr).toContain('No space left')
  expect(filled.stderr).toContain('Disk quota exceeded')
  expect(filled.stdout).toBe(`${MIB}\n${MIB}\n`)
  expect(await wire.sandboxes.getStats({ sandboxId })).toMatchObject({ diskBytes: MIB, oomKills: 0n })
})

it('a gibibyte of output in one line is read to its end, and its beginning kept', async () => {
  sandboxId = await sandboxWith({})
  const before = peakBytesOf(server.ready.pid)
  const result = await exec(sandboxId, `head -c ${GIB} /dev/zero && echo all of it >&2`)
  expect(result).toMatchObject({ exitCode: 0, stdoutTruncated: true, stderr: 'all of it\n' })
  expect(result.stdout).toHaveLength(1_000_000)
  expect(peakBytesOf(server.ready.pid) - before).toBeLessThan(Number(256n * MIB))
})

it('the same where output is limited is killed at the limit', async () => {
  sandboxId = await sandboxWith({ outputBytes: MIB })
  const call = refusal(exec(sandboxId, `head -c ${GIB} /dev/zero`))
  expect(await call).toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'output_limit' })
})

it('a sparse file of 10 GiB takes nothing of the disk, and is refused where files are limited', async () => {
  sandboxId = await sandboxWith({ diskBytes: MIB })
  expect((await exec(sandboxId, 'truncate -s 10G x && stat -c "%s %b" x')).stdout).toBe(`${10n * GIB} 0\n`)
  expect((await wire.sandboxes.getStats({ sandboxId })).diskBytes).toBe(0n)
  const [kib = ''] = execFileSync('du', ['-sk', join(dir, 'data')], { encoding: 'utf8' }).split('\t')
  expect(Number(kib)).toBeLessThan(100_000)
  const limited = await sandboxWith({ fileBytes: GIB })
  expect((await exec(limited, 'truncate -s 10G x')).exitCode).not.toBe(0)
  await wire.sandboxes.destroySandbox({ sandboxId: limited })
})

it('a process that ignores SIGTERM is killed with its command', async () => {
  sandboxId = await sandboxWith({})
  const deaf = python('import signal, time\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\ntime.sleep(600)')
  const call = wire.sandboxes.exec({ sandboxId, command: deaf, timeout: { nanos: 300_000_000 } })
  expect(await refusal(call)).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  expect((await wire.sandboxes.getStats({ sandboxId })).processes).toBe(0n)
})

it('daemons that forked twice and ignore signals stay inside, and end with the sandbox', async () => {
  sandboxId = await sandboxWith({})
  const daemon = [
    'import os, signal, time',
    'for s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)',
    'for _ in range(2):',
    '  if os.fork(): os._exit(0)',
    '  os.setsid()',
    'for fd in (0, 1, 2): os.close(fd)',
    'time.sleep(600)',
  ]
  for (let count = 0; count < 3; count++) expect((await exec(sandboxId, python(daemon.join('\n')))).exitCode).toBe(0)
  expect((await statsWhen(({ processes }) => processes === 3n)).commands).toBe(0)
})

/** The most memory that a process has had. */
function peakBytesOf(pid: number): number {
  const [, kib = '0'] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kib) * 1024
}
