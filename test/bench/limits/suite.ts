import { join } from 'node:path'
import { Sandbox } from '../../../sdk/index.ts'
import { hasProgram } from '../fs/variants.ts'
import { latencySection } from '../report/latency-section.ts'
import type { Figure, Section } from '../report/section.ts'
import { percentile } from '../report/statistics.ts'
import { makeFolder } from '../service/folder.ts'
import { sampleCount, timeEach } from '../service/samples.ts'
import { type ServerProcess, startServerProcess } from '../service/server-process.ts'
import { type Bench, isChosen } from '../suite.ts'
import { BOMB_OF, type BombKind, startBombs } from './bombs.ts'

const FILES = 10
/** In a run: a p99 of all runs wants hundreds, and bombs are hard on who works beside them. */
const EXECS = 60
/** The issue's: ten bombs leave the p99 of an exec beside them within this of its p99 alone. */
const TARGET_RATIO = 3
const ALONE = 'alone'

/** What bombs in other sandboxes cost one that keeps quiet. */
export async function limitsSuite(bench: Bench): Promise<Section[]> {
  if (!hasProgram('bwrap')) return [latencySection(TITLE, [], ['Nothing was measured: there is no bwrap.'])]
  await using running = await startServerProcess(join(bench.scratch, 'server'))
  const folder = makeFolder(join(bench.scratch, 'folder'), FILES)
  const { codebaseId } = await running.server.uploadFolder(folder, { cache: false })
  const figures: Figure[] = []
  for (const kind of (Object.keys(BOMB_OF) as BombKind[]).filter((name) => isChosen(name, bench.steps))) {
    figures.push(...(await measureBeside(bench, running, codebaseId, kind)))
  }
  return [latencySection(TITLE, figures, NOTES)]
}

const TITLE = 'Ten bombs beside a quiet sandbox'
const NOTES = [
  'exec true in a quiet sandbox, over gRPC, alone and beside ten sandboxes that are limited in processes and memory.',
  'Rows of a p99 have one sample, which is that p99; its target is of the two p99s.',
]

async function measureBeside(
  bench: Bench,
  running: ServerProcess,
  codebase: string,
  kind: BombKind,
): Promise<Figure[]> {
  await using quiet = await Sandbox.create({ codebase, server: running.server, preset: 'development' })
  const exec = () => quiet.run(['true'], { check: true })
  const count = sampleCount(bench, EXECS)
  const alone: number[] = []
  const beside: number[] = []
  await exec()
  for (let run = 0; run < bench.runs; run++) {
    bench.progress.show(`${kind}: run ${run + 1} of ${bench.runs}`)
    alone.push(...(await timeEach(bench, count, exec)))
    await using _bombs = await startBombs(running, codebase, kind)
    beside.push(...(await timeEach(bench, count, exec)))
  }
  const of = `beside ${kind}`
  const p99 = (samples: readonly number[]) => [percentile(samples, 99)]
  const target = { atMost: TARGET_RATIO, beside: ALONE }
  return [
    { name: `exec, ${kind}`, of: ALONE, unit: 'ms', samples: alone },
    { name: `exec, ${kind}`, of, unit: 'ms', samples: beside },
    { name: `p99 of exec, ${kind}`, of: ALONE, unit: 'ms', samples: p99(alone) },
    { name: `p99 of exec, ${kind}`, of, unit: 'ms', samples: p99(beside), target },
  ]
}
