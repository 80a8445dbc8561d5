import { join } from 'node:path'
import { Sandbox, type Session } from '../../../sdk/index.ts'
import type { Figure } from '../report/section.ts'
import { percentile } from '../report/statistics.ts'
import type { Bench } from '../suite.ts'
import { sampleCount, timeEach } from './samples.ts'
import { memoryOfTree, type ServerProcess, startServerProcess } from './server-process.ts'

const IDLE_SANDBOXES = 50
const STOPPED_SANDBOXES = 200
const MiB = 1024 * 1024

/** What a sandbox costs that only waits, a session open in it, and what it costs the others. */
export async function measureIdle(bench: Bench, running: ServerProcess, codebase: string): Promise<Figure[]> {
  const { server } = running
  await using one = await Sandbox.create({ codebase, server, preset: 'development' })
  const exec = () => one.run(['true'], { check: true })
  await timeEach(bench, sampleCount(bench, 50), exec)
  const alone = await timeEach(bench, sampleCount(bench, 200), exec)
  const before = memoryOfTree(running.pid)
  const count = bench.quick ? 5 : IDLE_SANDBOXES
  const idle: { sandbox: Sandbox; session: Session }[] = []
  try {
    for (let at = 0; at < count; at++) {
      bench.signal.throwIfAborted()
      bench.progress.show(`idle sandboxes: ${at + 1} of ${count}`)
      const sandbox = await Sandbox.create({ codebase, server, preset: 'development' })
      idle.push({ sandbox, session: await sandbox.session() })
    }
    const after = memoryOfTree(running.pid)
    const beside = await timeEach(bench, sampleCount(bench, 200), exec)
    const p99 = (samples: readonly number[]) => [percentile(samples, 99)]
    const name = `p99 of exec true, ${count} idle sandboxes beside it`
    return [
      {
        name: `memory of an idle sandbox of ${count}, session open`,
        of: 'croft',
        unit: 'bytes',
        samples: [(after.bytes - before.bytes) / count],
        target: { atMost: 3 * MiB },
      },
      {
        name: 'processes of a sandbox',
        of: 'croft',
        unit: 'count',
        samples: [(after.processes - before.processes) / count],
      },
      { name: 'memory of the server with one sandbox', of: 'croft', unit: 'bytes', samples: [before.bytes] },
      { name, of: 'croft', unit: 'ms', samples: p99(beside), target: { atMost: 2, beside: 'none beside it' } },
      { name, of: 'none beside it', unit: 'ms', samples: p99(alone) },
    ]
  } finally {
    // The server ends them otherwise, but then the next figure would not begin from nothing.
    await Promise.all(idle.map(({ sandbox }) => sandbox.kill()))
  }
}

/** From the start of the server's process to its first answer, on a data directory with stopped sandboxes. */
export async function measureRestart(bench: Bench, folder: string): Promise<Figure[]> {
  const home = join(bench.scratch, 'restart')
  const count = bench.quick ? 5 : STOPPED_SANDBOXES
  const empty = await restarts(bench, join(bench.scratch, 'restart-empty'))
  await makeStopped(bench, { home, folder, count })
  return [
    {
      name: `start of the server with ${count} stopped sandboxes`,
      of: 'croft',
      unit: 'ms',
      samples: await restarts(bench, home),
      target: { atMost: 1000 },
    },
    { name: 'start of the server with none', of: 'croft', unit: 'ms', samples: empty },
  ]
}

async function restarts(bench: Bench, home: string): Promise<number[]> {
  const samples: number[] = []
  for (let run = 0; run < bench.runs; run++) {
    bench.signal.throwIfAborted()
    bench.progress.show(`restart of the server: run ${run + 1} of ${bench.runs}`)
    await using running = await startServerProcess(home)
    samples.push(running.firstAnswerMs)
  }
  return samples
}

async function makeStopped(
  bench: Bench,
  { home, folder, count }: { home: string; folder: string; count: number },
): Promise<void> {
  await using running = await startServerProcess(home)
  const { server } = running
  const { codebaseId } = await server.uploadFolder(folder, { cache: false })
  for (let at = 0; at < count; at++) {
    bench.signal.throwIfAborted()
    bench.progress.show(`sandboxes to be stopped: ${at + 1} of ${count}`)
    const sandbox = await Sandbox.create({ codebase: codebaseId, server, preset: 'development' })
    await sandbox.stop()
  }
}
