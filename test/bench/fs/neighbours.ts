import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Caller, startCaller } from '../../fixtures/caller/caller.ts'
import { latencySection } from '../report/latency-section.ts'
import type { Figure, Section } from '../report/section.ts'
import { percentile } from '../report/statistics.ts'
import type { Bench } from '../suite.ts'
import { OWNER } from './served-views.ts'
import type { ViewProcess } from './view-process.ts'

const O_RDWR = 2
const MEBIBYTES = 10 * 1024
const BATCH = 100
const NAME = 'mkdir and rmdir'

/** What a view that is hardly used feels of one on the same thread that is written all the time. */
export async function measureNeighbours(
  bench: Bench,
  { views, home }: { views: ViewProcess; home: string },
): Promise<Section> {
  const [quietDir, busyDir] = [join(home, 'quiet'), join(home, 'busy')]
  const count = join(home, 'count')
  writeFileSync(count, Buffer.alloc(4096))
  for (const [view, target] of [
    ['quiet', quietDir],
    ['busy', busyDir],
  ] as const) {
    mkdirSync(target)
    await views.call({ op: 'open', view, target, device: 'kernel', observed: true })
  }
  const [alone, beside] = await measured(bench, { quietDir, busyDir, count })
  for (const view of ['quiet', 'busy']) await views.call({ op: 'close', view })
  const figure = (of: string, samples: readonly number[]): Figure => ({ name: NAME, of, unit: 'us', samples })
  const ratioAt = (percent: number) => (percentile(beside, percent) / percentile(alone, percent)).toFixed(1)
  return latencySection(
    'A view beside one that is written 10 GiB',
    [figure('alone', alone), figure('beside', beside)],
    [`Beside over alone: p50 ${ratioAt(50)} ×, p99 ${ratioAt(99)} ×. Both views are on one thread; writes of 1 MiB.`],
  )
}

async function measured(
  bench: Bench,
  { quietDir, busyDir, count }: { quietDir: string; busyDir: string; count: string },
): Promise<[alone: number[], beside: number[]]> {
  const { uid } = OWNER
  await using quiet = await startCaller(quietDir, uid)
  await using busy = await startCaller(busyDir, uid)
  bench.progress.show('a quiet view, alone')
  const alone = await samplesOf(quiet, bench.quick ? 1 : 20)
  bench.progress.show('a quiet view, beside a busy one')
  const map = await busy.mapKeep(await busy.open(count, O_RDWR))
  let over = false
  const copying = busy.copyMuch('copy', map, bench.quick ? 64 : MEBIBYTES).then(() => {
    over = true
  })
  const beside: number[] = []
  while (!over) beside.push(...(await samplesOf(quiet, 1)))
  await copying
  return [alone, beside]
}

async function samplesOf(caller: Caller, batches: number): Promise<number[]> {
  const samples: number[] = []
  for (let batch = 0; batch < batches; batch++) samples.push(...(await caller.timeAsking('asked', BATCH)))
  return samples
}
