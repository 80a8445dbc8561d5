import { join } from 'node:path'
import { Sandbox } from '../../../sdk/index.ts'
import type { Figure } from '../report/section.ts'
import type { Bench } from '../suite.ts'
import { makeFolder } from './folder.ts'
import { sampleCount } from './samples.ts'
import { startServerProcess } from './server-process.ts'

const FILES = 100_000
const CHANGED = 100
const TARGET_SNAPSHOT_MS = 50
const TARGET_FORK_MS = 10

/** 100 files in as many directories are changed before each snapshot; the codebase is large. */
export async function measureSnapshots(bench: Bench): Promise<Figure[]> {
  bench.progress.show('a folder to take snapshots of')
  const files = bench.quick ? 1_000 : FILES
  const folder = makeFolder(join(bench.scratch, 'large'), files)
  await using running = await startServerProcess(join(bench.scratch, 'snapshots'))
  const { codebaseId } = await running.server.uploadFolder(folder, { cache: false })
  await using sandbox = await Sandbox.create({ codebase: codebaseId, server: running.server, preset: 'development' })
  const taken: number[] = []
  const begun: number[] = []
  const forked: number[] = []
  const count = sampleCount(bench, 20)
  for (let at = 0; at < count; at++) {
    bench.signal.throwIfAborted()
    bench.progress.show(`snapshots and forks: ${at + 1} of ${count}`)
    const change = `n=0; for d in src-*; do n=$((n + 1)); [ $n -gt ${CHANGED} ] || echo ${at} > $d/file-changed.ts; done`
    await sandbox.run(change, { check: true })
    const snapshot = await timed(taken, () => sandbox.snapshot())
    const source = { snapshot: snapshot.id, server: running.server, start: false }
    await (await timed(begun, () => Sandbox.create(source))).kill()
    for (const fork of await timed(forked, () => sandbox.fork(1, { start: false }))) await fork.kill()
  }
  const what = `${Math.min(CHANGED, files / 100)} changes over ${files} files`
  const [snapshot, fork] = [{ atMost: TARGET_SNAPSHOT_MS }, { atMost: TARGET_FORK_MS }]
  return [
    { name: `snapshot of ${what}`, of: 'croft', unit: 'ms', samples: taken, target: snapshot },
    { name: 'a sandbox on that snapshot', of: 'croft', unit: 'ms', samples: begun, target: fork },
    { name: `fork of ${what}, snapshot included`, of: 'croft', unit: 'ms', samples: forked },
  ]
}

async function timed<T>(samples: number[], work: () => Promise<T>): Promise<T> {
  const beganMs = performance.now()
  const result = await work()
  samples.push(performance.now() - beganMs)
  return result
}
